// The warpgroups of attention_many_sm90.cu that multiply.
#pragma once

#include "ops/cuda/attention_many_block_sm90.h"
#include "ops/cuda/elements.h"
#include "ops/cuda/wgmma_sm90.h"

namespace strake::cuda::many_queries {

// A thread has parts of rows r and r + 8 of its warp's 16: r = lane / 4.
struct RowSums {
  float largest[2] = {kLowest, kLowest};  // scores, of powers of two
  float total[2] = {};
};

using Scores = float[kTileRows / 2];

// Scores of positions [first, first + 128) that a row does not see weigh nothing.
__device__ __forceinline__ void mask(Scores& scores, int first, const Seen (&sees)[2], int lane) {
#pragma unroll
  for (int i = 0; i < kTileRows / 2; ++i) {
    const int at = first + i / 4 * 8 + lane % 4 * 2 + i % 2;
    const Seen& seen = sees[i / 2 % 2];
    if (at < seen.begin || at >= seen.end) scores[i] = -INFINITY;
  }
}

// From scores to weights, and the factors of the rows' sums so far.
__device__ __forceinline__ void weigh(Scores& scores, float scale, RowSums& sums,
                                      float (&factors)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float most[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int i = 0; i < kTileRows / 2; i += 4)
#pragma unroll
      for (int j = 0; j < 2; ++j) most[j] = fmaxf(most[j], scores[i + 2 * half + j]);
    float largest = fmaxf(most[0], most[1]);
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 2));
    largest = fmaxf(largest * scale, sums.largest[half]);
    factors[half] = exp2_fast(sums.largest[half] - largest);
    sums.largest[half] = largest;
    float sum[2] = {};
#pragma unroll
    for (int i = 0; i < kTileRows / 2; i += 4)
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float& score = scores[i + 2 * half + j];
        score = exp2_fast(__fmaf_rn(score, scale, -largest));
        sum[j] += score;
      }
    sums.total[half] = sums.total[half] * factors[half] + (sum[0] + sum[1]);
  }
}

// A warpgroup that multiplies.
template <class T, int kWidth>
struct ProductGroup {
  using Weights = uint32_t[kTileRows / 16][4];
  using Sums = float[kWidth / 2];

  const AttentionCall& call;
  Room<T, kWidth>& room;
  const Meetings& meetings;
  int group;
  int warp;  // of the warpgroup
  int lane;
  uint32_t tiles = 0;  // of keys and of values that were taken

  __device__ int first_row() const { return group * kGroupRows; }
  __device__ int warp_row() const { return first_row() + warp * 16; }

  __device__ void wait_for_turn(uint32_t tile) const {
    barrier_wait(shared_address(&meetings.turns[group]), (tile + (group == 0 ? 1 : 0)) % 2);
  }
  __device__ void end_turn() const {
    if (lane == 0) barrier_arrive(shared_address(&meetings.turns[1 - group]));
  }

  // Starts the products of all rows' queries with keys.
  __device__ void score(uint32_t tile, Scores& scores) const {
    const uint64_t query_rows = swizzled_rows(shared_address(room.queries + first_row() * 64));
    const uint64_t key_rows = swizzled_rows(shared_address(room.keys[meetings.keys.place(tile)]));
#pragma unroll
    for (int slice = 0; slice < kWidth / 64; ++slice)
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const uint32_t at = slice * kSliceBytes + k * 32;
        wgmma_shared<T>(scores, rows_after(query_rows, at), rows_after(key_rows, at),
                        slice > 0 || k > 0);
      }
    wgmma_commit();
  }
  // Starts those of weights with values.
  __device__ void sum(uint32_t tile, const Weights& weights, Sums& mixed) const {
    const uint64_t value_rows =
        turned_rows(shared_address(room.values[meetings.values.place(tile)]), kSliceBytes);
#pragma unroll
    for (int k = 0; k < kTileRows / 16; ++k)
      wgmma_turned<T>(mixed, weights[k], rows_after(value_rows, k * 16 * 128), 1);
    wgmma_commit();
  }
  // As A's fragments.
  __device__ static void pack_weights(const Scores& scores, Weights& weights) {
#pragma unroll
    for (int k = 0; k < kTileRows / 16; ++k) {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        weights[k][i] = pack<T>(scores[8 * k + 2 * i], scores[8 * k + 2 * i + 1]);
      pin(weights[k]);
    }
  }

  __device__ void attend(const QueryTile& tile, uint32_t index, int end) {
    const int own = warp_row();
    const Seen sees[2] = {tile.seen(call, own + lane / 4), tile.seen(call, own + lane / 4 + 8)};
    // What all of the warp's rows see.
    const Seen common{tile.seen(call, own + 15).begin, tile.seen(call, own).end};
    const float scale = call.scale * kLog2E;
    const auto weigh_tile = [&](int of, Scores& scores, RowSums& sums, float(&factors)[2]) {
      const int first = of * kTileRows;
      if (first < common.begin || first + kTileRows > common.end) mask(scores, first, sees, lane);
      weigh(scores, scale, sums, factors);
    };
    RowSums sums;
    Scores scores;
    Weights weights;
    Sums mixed;
    float factors[2];

    meetings.keys.wait_full(tiles);
    show_to_async();
    wait_for_turn(tiles);
    wgmma_fence();
    score(tiles, scores);
    end_turn();
#pragma unroll
    for (int i = 0; i < kWidth / 2; ++i) mixed[i] = 0;
    wgmma_wait<0>();
    pin(scores);
    meetings.keys.release(tiles, lane);
    weigh_tile(tile.begin, scores, sums, factors);
    meetings.values.wait_full(tiles);
    pack_weights(scores, weights);
#pragma unroll 1
    for (int of = tile.begin + 1; of < end; ++of) {
      ++tiles;
      meetings.keys.wait_full(tiles);
      show_to_async();
      wait_for_turn(tiles);
      pin(mixed);
      wgmma_fence();
      score(tiles, scores);
      sum(tiles - 1, weights, mixed);
      end_turn();
      wgmma_wait<1>();
      pin(scores);
      meetings.keys.release(tiles, lane);
      weigh_tile(of, scores, sums, factors);
      pin(scores);
      // Its loop keeps the assembler from moving the wait for all products ahead of the weights.
      meetings.values.wait_full(tiles);
      wgmma_wait<0>();
      pin(mixed);
#pragma unroll
      for (int k = 0; k < kTileRows / 16; ++k) pin(weights[k]);
      meetings.values.release(tiles - 1, lane);
      pack_weights(scores, weights);
      if (__any_sync(0xffffffffu, factors[0] != 1 || factors[1] != 1)) {
#pragma unroll
        for (int i = 0; i < kWidth / 2; ++i) mixed[i] *= factors[i / 2 % 2];
      }
    }
    meetings.queries.release(index, lane);
    show_to_async();
    pin(mixed);
    wgmma_fence();
    sum(tiles, weights, mixed);
    wgmma_wait<0>();
    pin(mixed);
    meetings.values.release(tiles, lane);
    ++tiles;
    put(tile, sums, mixed);
  }

  __device__ void put(const QueryTile& tile, const RowSums& sums, const Sums& mixed) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float total = sums.total[half];
      total += __shfl_xor_sync(0xffffffffu, total, 1);
      total += __shfl_xor_sync(0xffffffffu, total, 2);
      const int row = warp_row() + lane / 4 + 8 * half;
      if (row >= tile.rows) continue;
      const QueryRow query = tile.query(row);
      float factor = 1;
      if (call.sinks != nullptr) {
        const float sink = call.sinks[query.head] * kLog2E;
        const float largest = fmaxf(sink, sums.largest[half]);
        factor = exp2_fast(sums.largest[half] - largest);
        total = total * factor + exp2_fast(sink - largest);
      }
      factor /= total;
      T* const out = static_cast<T*>(call.out) + query_index(call, tile.sequence, query) * kWidth +
                     lane % 4 * 2;
#pragma unroll
      for (int i = 0; i < kWidth / 8; ++i)
        *reinterpret_cast<uint32_t*>(out + i * 8) =
            pack<T>(mixed[4 * i + 2 * half] * factor, mixed[4 * i + 2 * half + 1] * factor);
    }
  }

  // Tiles that only the other warpgroup's rows see.
  __device__ void skip(int count) {
    for (; count > 0; --count, ++tiles) {
      meetings.keys.wait_full(tiles);
      meetings.keys.release(tiles, lane);
      wait_for_turn(tiles);
      end_turn();
      meetings.values.wait_full(tiles);
      meetings.values.release(tiles, lane);
    }
  }

  __device__ void multiply(int sequences) {
    for_each_tile(call, sequences, [&](const QueryTile& tile, uint32_t index) {
      meetings.queries.wait_full(index);
      int end = tile.begin;
      if (first_row() < tile.rows) {
        end = tile.end_for(call, first_row() + kGroupRows - 1);
        attend(tile, index, end);
      } else {
        meetings.queries.release(index, lane);
      }
      skip(tile.end - end);
    });
  }
};

}  // namespace strake::cuda::many_queries
