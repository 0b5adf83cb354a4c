// A block of attention_many_sm90.cu: its tiles, its shared memory, and where its warpgroups meet.
#pragma once

#include "ops/cuda/async_sm90.h"
#include "ops/cuda/attention_call.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda::many_queries {

inline constexpr int kGroup = 128;  // a warpgroup
inline constexpr int kGroupWarps = kGroup / 32;
inline constexpr int kProductGroups = 2;  // the first ones; then the one that brings
inline constexpr int kThreads = (kProductGroups + 1) * kGroup;
inline constexpr int kGroupRows = 64;
inline constexpr int kTileRows = kProductGroups * kGroupRows;  // of queries, and as many positions
inline constexpr int kSlice = kTileRows * 64;                  // elements: 64 columns of a tile
inline constexpr uint32_t kSliceBytes = kSlice * 2;
inline constexpr int kTiles = 3;  // of keys, and of values

// Registers of a thread: together what the block starts with, 168 each.
inline constexpr int kProductRegisters = 232;
inline constexpr int kBringRegisters = 40;
static_assert(kProductGroups * kProductRegisters + kBringRegisters == 3 * 168);

template <class T, int kWidth>
struct Room {
  using Tile = T[kWidth / 64 * kSlice];
  Tile queries;
  Tile keys[kTiles];
  Tile values[kTiles];
};

// When places of a ring are full, and when all warps that multiply have read them. Tiles are
// counted over all that a block does.
template <int kPlaces>
struct Ring {
  uint64_t full[kPlaces];
  uint64_t empty[kPlaces];

  __device__ void init() {
    for (int place = 0; place < kPlaces; ++place) {
      barrier_init(shared_address(&full[place]), kGroup);
      barrier_init(shared_address(&empty[place]), kProductGroups * kGroupWarps);
    }
  }
  __device__ static uint32_t place(uint32_t tile) { return tile % kPlaces; }
  __device__ static uint32_t parity(uint32_t tile) { return tile / kPlaces % 2; }
  __device__ void wait_full(uint32_t tile) const {
    barrier_wait(shared_address(&full[place(tile)]), parity(tile));
  }
  __device__ void wait_empty(uint32_t tile) const {
    barrier_wait(shared_address(&empty[place(tile)]), parity(tile) ^ 1);
  }
  // When what this thread has copied is there.
  __device__ void fill(uint32_t tile) const {
    barrier_arrive_after_copies(shared_address(&full[place(tile)]));
  }
  // The warp's products are done.
  __device__ void release(uint32_t tile, int lane) const {
    if (lane == 0) barrier_arrive(shared_address(&empty[place(tile)]));
  }
};

struct Meetings {
  Ring<1> queries;
  Ring<kTiles> keys;
  Ring<kTiles> values;
  uint64_t turns[kProductGroups];  // to start products

  __device__ void init() {
    queries.init();
    keys.init();
    values.init();
    for (uint64_t& turn : turns) barrier_init(shared_address(&turn), kGroupWarps);
    barrier_init_done();
  }
};

// Where a 16-byte unit of a row of 64 columns stands, in elements: see swizzled_rows().
__device__ constexpr int unit_at(int row, int unit) { return row * 64 + (unit ^ row % 8) * 8; }

// 128 rows of a cached head's queries, or fewer.
struct QueryTile {
  int sequence;
  int cached_head;
  Group group;
  int first;  // row
  int rows;
  int begin = 0;  // tiles of positions
  int end = 0;

  // The last rows see most: they come first.
  __device__ QueryTile(const AttentionCall& call, int sequences, int tiles, int index)
      : sequence(index / call.cached_heads % sequences),
        cached_head(index % call.cached_heads),
        group(group_of(call, cached_head)),
        first((tiles - 1 - index / call.cached_heads / sequences) * kTileRows),
        rows(min(kTileRows, call.tokens * group.count - first)) {
    if (rows <= 0) return;
    begin = seen(call, 0).begin / kTileRows;
    end = end_for(call, rows - 1);
  }
  // Of a row, or of the last one beyond it.
  __device__ QueryRow query(int row) const { return query_row(group, first + min(row, rows - 1)); }
  __device__ Seen seen(const AttentionCall& call, int row) const {
    return seen_by(call, sequence, query(row).token);
  }
  // The end of the tiles of positions that the rows up to this one see.
  __device__ int end_for(const AttentionCall& call, int row) const {
    return (seen(call, row).end + kTileRows - 1) / kTileRows;
  }
};

__host__ __device__ inline int query_tiles(const AttentionCall& call) {
  return (call.tokens * call.group + kTileRows - 1) / kTileRows;
}

// Blocks take tiles in turn, every other time the last block first: all see about as much.
template <class Take>
__device__ __forceinline__ void for_each_tile(const AttentionCall& call, int sequences,
                                              Take&& take) {
  const int tiles = query_tiles(call), count = tiles * call.cached_heads * sequences;
  const int blocks = gridDim.x, block = blockIdx.x;
  uint32_t taken = 0;
  for (int round = 0; round * blocks < count; ++round) {
    const int index = round * blocks + (round % 2 == 0 ? block : blocks - 1 - block);
    if (index >= count) break;
    const QueryTile tile(call, sequences, tiles, index);
    if (tile.rows > 0) take(tile, taken++);
  }
}

}  // namespace strake::cuda::many_queries
