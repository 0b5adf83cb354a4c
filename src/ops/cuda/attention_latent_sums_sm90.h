// The warpgroups of attention_latent_sm90.cu that sum values.
#pragma once

#include "ops/cuda/attention_latent_block_sm90.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/wgmma_sm90.h"

namespace strake::cuda::latent {

template <class T, int kOwn, int kHeadTiles>
struct LatentSummer : LatentBlock<T, kOwn, kHeadTiles> {
  using Block = LatentBlock<T, kOwn, kHeadTiles>;
  using Block::call;
  using Block::full;
  using Block::kColumns;
  using Block::kOwnParts;
  using Block::kSlices;
  using Block::kSumsOfHeads;
  using Block::kTiles;
  using Block::lane;
  using Block::meet_at_end;
  using Block::meetings;
  using Block::parity;
  using Block::part_slice;
  using Block::release;
  using Block::room;
  using Block::row;
  using Block::share;
  using Block::warp;
  static constexpr int kStagedRow = kColumns + 8;  // floats: rows begin in different banks
  static_assert(kSumGroups * kTileHeads * kStagedRow * sizeof(float) <=
                sizeof(Room<T, kOwn, kHeadTiles>::queries) +
                    sizeof(Room<T, kOwn, kHeadTiles>::tiles));
  using Sums = float[kOwnParts][kPartColumns / 2];

  __device__ void sum(int group) const {
    const int own_row = warp * 16 + lane / 4;  // and 8 after
    const int first_part = group % kSumsOfHeads * kOwnParts, heads = group / kSumsOfHeads;
    Sums mixed;
    int tile = 0;
    for (int first = row.begin; first < row.end; first += kKeys, ++tile) {
      barrier_wait(shared_address(&meetings.weights_full[heads]), tile % 2);
      uint32_t weights[kKeys / 16][4];
#pragma unroll
      for (int k = 0; k < kKeys / 16; ++k)
        ldmatrix(weights[k],
                 room.weights[heads] + unit_at(warp * 16 + lane % 16, 2 * k + lane / 16));
      const float low = meetings.factors[heads][own_row];
      const float high = meetings.factors[heads][own_row + 8];
      __syncwarp();
      if (lane == 0) barrier_arrive(shared_address(&meetings.weights_empty[heads]));
      if (tile > 0 && __any_sync(0xffffffffu, low != 1 || high != 1)) {
#pragma unroll
        for (int part = 0; part < kOwnParts; ++part)
#pragma unroll
          for (int i = 0; i < kPartColumns / 2; ++i) mixed[part][i] *= i % 4 < 2 ? low : high;
      }
#pragma unroll
      for (int part = 0; part < kOwnParts; ++part) {
        barrier_wait(full(meetings, tile, first_part + part), parity(tile));
        pin(mixed[part]);
      }
      show_to_async();
      const T* const values = room.tiles[tile % kTiles] + part_slice(first_part) * kSlice;
      const uint64_t value_rows = turned_rows(shared_address(values), kSliceBytes);
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < kKeys / 16; ++k)
#pragma unroll
        for (int part = 0; part < kOwnParts; ++part) {
          const uint64_t at = (part_slice(part) * kSliceBytes + k * 16 * 128) >> 4;
          wgmma_turned<T>(mixed[part], weights[k], value_rows + at, tile > 0 || k > 0);
        }
      wgmma_commit();
      wgmma_wait<0>();
#pragma unroll
      for (int part = 0; part < kOwnParts; ++part) pin(mixed[part]);
      release(tile, first_part, kOwnParts);
    }
    meet_at_end();
    const int column = share * kHalfColumns + first_part * kPartColumns;
    if (call.partials == nullptr)
      put_results(mixed, heads, column);
    else
      put_partials(mixed, heads, column, group);
  }

  __device__ void put_results(const Sums& mixed, int heads, int column) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int of_tile = warp * 16 + lane / 4 + 8 * half, head = heads * kTileHeads + of_tile;
      if (row.first_head + head >= call.heads) continue;
      const LatentResult<T> result(
          call, row, head, {meetings.largest[heads][of_tile], meetings.total[heads][of_tile]});
#pragma unroll
      for (int i = 0; i < kColumns / 8; ++i) {
        const float* const pair = mixed[i / 16] + i % 16 * 4 + half * 2;
        result.put(column + i * 8 + lane % 4 * 2, pair[0], pair[1]);
      }
    }
  }

  // Through shared memory, where queries and tiles were: a head's columns are written at once.
  __device__ void put_partials(const Sums& mixed, int heads, int column, int group) const {
    float* const staged =
        reinterpret_cast<float*>(room.queries) + (group * kGroupWarps + warp) * 16 * kStagedRow;
    float* const own = staged + lane / 4 * kStagedRow + lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int i = 0; i < kColumns / 8; ++i) {
        const float* const pair = mixed[i / 16] + i % 16 * 4 + half * 2;
        *reinterpret_cast<float2*>(own + 8 * half * kStagedRow + i * 8) = float2{pair[0], pair[1]};
      }
    show_to_async();
    __syncwarp();
    const int head = heads * kTileHeads + warp * 16 + lane;
    if (lane >= 16 || row.first_head + head >= call.heads) return;
    copy_out(LatentResult<T>(call, row, head, {}).mixed + column,
             shared_address(staged + lane * kStagedRow), kColumns * sizeof(float));
    wait_for_copies_out();
  }
};

}  // namespace strake::cuda::latent
