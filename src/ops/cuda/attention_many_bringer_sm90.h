// The warpgroup of attention_many_sm90.cu that brings queries, keys and values.
#pragma once

#include "ops/cuda/attention_many_block_sm90.h"

namespace strake::cuda::many_queries {

// What brings queries and cached rows.
template <class T, int kWidth>
struct Bringer {
  static constexpr int kRowsAtOnce = kGroup / 8;  // eight threads a row
  using Tile = typename Room<T, kWidth>::Tile;

  const AttentionCall& call;
  Room<T, kWidth>& room;
  const Meetings& meetings;
  int row;   // the thread's first one
  int unit;  // of 64 columns
  uint32_t keys = 0, values = 0;

  __device__ void bring_queries(const QueryTile& tile, uint32_t index) const {
    meetings.queries.wait_empty(index);
    T* const to = room.queries + unit_at(row, unit);
#pragma unroll
    for (int i = 0; i < kTileRows; i += kRowsAtOnce) {
      const T* const from = static_cast<const T*>(call.q) +
                            query_index(call, tile.sequence, tile.query(row + i)) * kWidth +
                            unit * 8;
#pragma unroll
      for (int slice = 0; slice < kWidth / 64; ++slice)
        copy_async(to + i * 64 + slice * kSlice, from + slice * 64, 16);
    }
    meetings.queries.fill(index);
  }

  // Zeros where none of the rows sees a position: what stands there may be no number.
  __device__ void bring_rows(const Ring<kTiles>& ring, uint32_t index, Tile* places,
                             const void* rows, Seen seen) const {
    ring.wait_empty(index);
    const T* const from = static_cast<const T*>(rows) + row * kWidth + unit * 8;
    T* const to = places[ring.place(index)] + unit_at(row, unit);
#pragma unroll
    for (int i = 0; i < kTileRows; i += kRowsAtOnce) {
      const int bytes = row + i >= seen.begin && row + i < seen.end ? 16 : 0;
#pragma unroll
      for (int slice = 0; slice < kWidth / 64; ++slice)
        copy_async(to + i * 64 + slice * kSlice, from + i * kWidth + slice * 64, bytes);
    }
    ring.fill(index);
  }

  __device__ void bring(int sequences) {
    for_each_tile(call, sequences, [&](const QueryTile& tile, uint32_t index) {
      const CachedSequence cache = call.caches[tile.sequence];
      const Seen seen{tile.seen(call, 0).begin, tile.seen(call, tile.rows - 1).end};
      const auto rows_at = [&](const void* elements, int first) {
        const int slots = static_cast<int>(cache.slots);
        const int64_t slot = int64_t{tile.cached_head} * slots + first % slots;
        return static_cast<const T*>(elements) + slot * kWidth;
      };
      const auto bring_keys = [&](int of) {
        const int first = of * kTileRows;
        bring_rows(meetings.keys, keys++, room.keys, rows_at(cache.keys.elements, first),
                   {seen.begin - first, seen.end - first});
      };
      bring_keys(tile.begin);
      bring_queries(tile, index);
#pragma unroll 1
      for (int of = tile.begin; of < tile.end; ++of) {
        if (of + 1 < tile.end) bring_keys(of + 1);
        const int first = of * kTileRows;
        bring_rows(meetings.values, values++, room.values, rows_at(cache.values.elements, first),
                   {seen.begin - first, seen.end - first});
      }
    });
    asm volatile("cp.async.wait_all;" ::: "memory");
  }
};

}  // namespace strake::cuda::many_queries
