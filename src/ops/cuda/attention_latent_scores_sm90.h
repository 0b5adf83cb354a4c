// The warpgroup of attention_latent_sm90.cu that scores positions.
#pragma once

#include "ops/cuda/attention_latent_block_sm90.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/wgmma_sm90.h"

namespace strake::cuda::latent {

// A thread's part of 64 heads' softmax: heads `row` and `row` + 8.
struct HeadSums {
  float largest[2] = {kLowest, kLowest};
  float total[2] = {};
};

// From scores to weights, eight pairs a head, and the factors of the heads' sums so far. `there`
// has a bit for each of the thread's 16 columns.
template <class T>
__device__ __forceinline__ void weigh(float (&scores)[32], float scale, uint32_t there,
                                      HeadSums& sums, uint32_t (&weights)[2][8],
                                      float (&factors)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float most = sums.largest[half];
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      float& score = scores[i / 2 * 4 + half * 2 + i % 2];
      score = there >> i & 1 ? score * scale : -INFINITY;
      most = fmaxf(most, score);
    }
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
    factors[half] = exp2_fast(sums.largest[half] - most);
    sums.largest[half] = most;
    sums.total[half] *= factors[half];
#pragma unroll
    for (int n = 0; n < 8; ++n) {
      const float x = exp2_fast(scores[n * 4 + half * 2] - most);
      const float y = exp2_fast(scores[n * 4 + half * 2 + 1] - most);
      sums.total[half] += x + y;
      weights[half][n] = pack<T>(x, y);
    }
  }
}

// Four floats to the shared memory of a block of the cluster, and news of them to a barrier there.
__device__ __forceinline__ void send(uint32_t to, const float* four, uint32_t barrier) {
  asm volatile(
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, "
      "[%5];" ::"r"(to),
      "f"(four[0]), "f"(four[1]), "f"(four[2]), "f"(four[3]), "r"(barrier)
      : "memory");
}

template <class T, int kOwn, int kHeadTiles>
struct LatentScorer : LatentBlock<T, kOwn, kHeadTiles> {
  using Block = LatentBlock<T, kOwn, kHeadTiles>;
  using Block::call;
  using Block::full;
  using Block::kParts;
  using Block::kSlices;
  using Block::kTiles;
  using Block::lane;
  using Block::meet_at_end;
  using Block::meetings;
  using Block::parity;
  using Block::release;
  using Block::room;
  using Block::row;
  using Block::share;
  using Block::warp;

  // Scores of a tile of heads, by halves of the columns: begins their products.
  __device__ void begin_scores(int tile, int heads, float (&scores)[kOwn][32]) const {
    const uint64_t query_rows = swizzled_rows(shared_address(room.queries[heads]));
    const uint64_t key_rows = swizzled_rows(shared_address(room.tiles[tile % kTiles]));
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      barrier_wait(full(meetings, tile, part), parity(tile));
      show_to_async();
      wgmma_fence();
#pragma unroll
      for (int step = 0; step < kPartSlices * 4; ++step) {
        const int slice = part * kPartSlices + step / 4;
        const uint64_t at = (slice * kSliceBytes + step % 4 * 32) >> 4;
        wgmma_shared<T>(scores[slice / kHalfSlices], query_rows + at, key_rows + at,
                        slice % kHalfSlices > 0 || step % 4 > 0);
      }
    }
#pragma unroll
    for (int half = 0; half < kOwn; ++half)
#pragma unroll
      for (int step = 0; step < kHalfSteps; ++step) {
        const uint64_t at =
            ((kSlices - 1) * kSliceBytes + ((share + half) * kHalfSteps + step) * 32) >> 4;
        wgmma_shared<T>(scores[half], query_rows + at, key_rows + at, 1);
      }
    wgmma_commit();
  }
  __device__ void end_scores(int tile, int heads, float (&scores)[kOwn][32]) const {
    wgmma_wait<0>();
#pragma unroll
    for (auto& half : scores) pin(half);
    if (heads == kHeadTiles - 1) release(tile, 0, kParts);
  }

  // To the block with the other half. They land where the scores before the last ones were: that
  // block has taken those before it sent the last.
  __device__ void send_scores(int tile, int heads, const float (&scores)[32]) const {
    const int slot = (tile * kHeadTiles + heads) % kSlots, thread = threadIdx.x % kGroup,
              other = share ^ 1;
    const uint32_t to = address_in_block(shared_address(&room.scores[slot][0][thread]), other);
    const uint32_t barrier = address_in_block(shared_address(&meetings.scores[slot]), other);
#pragma unroll
    for (int i = 0; i < 8; ++i)
      send(to + i * static_cast<uint32_t>(sizeof(room.scores[slot][i])), scores + 4 * i, barrier);
  }
  // Of two numbers the sum is the same in both blocks.
  __device__ void add_other_half(int tile, int heads, float (&scores)[32]) const {
    const int time = tile * kHeadTiles + heads, slot = time % kSlots, thread = threadIdx.x % kGroup;
    const uint32_t barrier = shared_address(&meetings.scores[slot]);
    if (thread == 0) barrier_arrive_expect(barrier, sizeof(room.scores[slot]));
    barrier_wait_for_cluster(barrier, time / kSlots % 2);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float4 four = room.scores[slot][i][thread];
      scores[4 * i] += four.x;
      scores[4 * i + 1] += four.y;
      scores[4 * i + 2] += four.z;
      scores[4 * i + 3] += four.w;
    }
  }

  // A bit for each of the thread's 16 columns of a tile that is a position.
  __device__ uint32_t places_of(int tile) const {
    uint32_t there = 0;
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      const int place = row.begin + tile * kKeys + i / 2 * 8 + lane % 4 * 2 + i % 2;
      there |= static_cast<uint32_t>(row.position_of(place) >= 0) << i;
    }
    return there;
  }

  // A tile's scores become weights for the warpgroups that sum.
  __device__ void put_weights(int tile, int heads, float (&scores)[32], uint32_t there, float scale,
                              HeadSums& sums) const {
    const int own_row = warp * 16 + lane / 4;  // and 8 after
    float factors[2];
    uint32_t weights[2][8];
    weigh<T>(scores, scale, there, sums, weights, factors);
    if (tile > 0) barrier_wait(shared_address(&meetings.weights_empty[heads]), (tile - 1) % 2);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int head = own_row + 8 * half;
      if (lane % 4 == 0) meetings.factors[heads][head] = factors[half];
#pragma unroll
      for (int n = 0; n < 8; ++n)
        *reinterpret_cast<uint32_t*>(room.weights[heads] + unit_at(head, n) + lane % 4 * 2) =
            weights[half][n];
    }
    __syncwarp();
    if (lane == 0) barrier_arrive(shared_address(&meetings.weights_full[heads]));
  }

  // Of all columns.
  __device__ void score_all(int tiles, float scale, HeadSums& sums) const {
    for (int tile = 0; tile < tiles; ++tile) {
      const uint32_t there = places_of(tile);
      float scores[kOwn][32];
      begin_scores(tile, 0, scores);
      end_scores(tile, 0, scores);
#pragma unroll
      for (int i = 0; i < 32; ++i) scores[0][i] += scores[kOwn - 1][i];
      put_weights(tile, 0, scores[0], there, scale, sums);
    }
  }

  // Of two tiles of heads' halves: the second one's products run while the first one's scores meet.
  __device__ void score_both(int tiles, float scale, HeadSums (&sums)[kHeadTiles]) const {
    for (int tile = 0; tile < tiles; ++tile) {
      const uint32_t there = places_of(tile);
      float first[kOwn][32], second[kOwn][32];
      begin_scores(tile, 0, first);
      end_scores(tile, 0, first);
      send_scores(tile, 0, first[0]);
      begin_scores(tile, 1, second);
      add_other_half(tile, 0, first[0]);
      end_scores(tile, 1, second);
      send_scores(tile, 1, second[0]);
      put_weights(tile, 0, first[0], there, scale, sums[0]);
      add_other_half(tile, 1, second[0]);
      put_weights(tile, 1, second[0], there, scale, sums[1]);
    }
  }

  // Of one tile of heads' halves: the next tile's products run while a tile's scores meet.
  __device__ void score_ahead(int tiles, float scale, HeadSums& sums) const {
    float scores[kOwn][32], next[kOwn][32];
    begin_scores(0, 0, scores);
    end_scores(0, 0, scores);
    send_scores(0, 0, scores[0]);
    for (int tile = 0; tile + 1 < tiles; ++tile) {
      begin_scores(tile + 1, 0, next);
      const uint32_t there = places_of(tile);
      add_other_half(tile, 0, scores[0]);
      end_scores(tile + 1, 0, next);
      send_scores(tile + 1, 0, next[0]);
      put_weights(tile, 0, scores[0], there, scale, sums);
#pragma unroll
      for (int i = 0; i < 32; ++i) scores[0][i] = next[0][i];
    }
    add_other_half(tiles - 1, 0, scores[0]);
    put_weights(tiles - 1, 0, scores[0], places_of(tiles - 1), scale, sums);
  }

  __device__ void score() const {
    const float scale = score_scale(call, row.sequence, row.token);
    const int tiles = (row.end - row.begin + kKeys - 1) / kKeys;
    HeadSums sums[kHeadTiles];
    barrier_wait(shared_address(&meetings.queries), 0);
    if constexpr (kOwn == kHalves)
      score_all(tiles, scale, sums[0]);
    else if constexpr (kHeadTiles == 1)
      score_ahead(tiles, scale, sums[0]);
    else
      score_both(tiles, scale, sums);
#pragma unroll
    for (int heads = 0; heads < kHeadTiles; ++heads)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float largest = sums[heads].largest[half];
        float sum = sums[heads].total[half];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (lane % 4 != 0) continue;
        const int of_tile = warp * 16 + lane / 4 + 8 * half, head = heads * kTileHeads + of_tile;
        meetings.largest[heads][of_tile] = largest;
        meetings.total[heads][of_tile] = sum;
        if (share == 0 && row.first_head + head < call.heads)
          LatentResult<T>(call, row, head, {largest, sum}).put_partial();
      }
    meet_at_end();
  }
};

}  // namespace strake::cuda::latent
