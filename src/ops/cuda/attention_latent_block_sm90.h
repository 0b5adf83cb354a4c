// Latent attention with a warpgroup's products (attention_latent_sm90.cu): what a block's
// warpgroups share, and where they meet.
#pragma once

#include "ops/cuda/async_sm90.h"
#include "ops/cuda/attention_call.h"
#include "ops/cuda/latent_rows.h"

namespace strake::cuda::latent {
constexpr int kGroup = 128;  // a warpgroup
constexpr int kGroupWarps = kGroup / 32;
constexpr int kSumGroups = 2;  // the first ones; then the one that scores, and the one that brings
constexpr int kThreads = (kSumGroups + 2) * kGroup;
constexpr int kTileHeads = kLatentHeads;  // of a product
constexpr int kKeys = 64;                 // positions of a tile
constexpr int kSlice = 64 * 64;           // elements: 64 columns of a tile
constexpr uint32_t kSliceBytes = kSlice * 2;

// A half of a tile is a half of the values' columns, and of the last 64, which are keys alone.
constexpr int kHalves = 2;
constexpr int kHalfColumns = kLatentValues / kHalves;
constexpr int kHalfSlices = kHalfColumns / 64;  // without the last columns
constexpr int kHalfSteps = 64 / kHalves / 16;   // products along those
static_assert(kLatentWidth == kLatentValues + 64);

// A tile comes and goes in parts of 128 of the values' columns. The last one has the last columns,
// too.
constexpr int kPartColumns = 128;
constexpr int kPartSlices = kPartColumns / 64;

constexpr int kMostHeadTiles = 2;
constexpr int kMostTiles = 3;  // of a ring
constexpr int kMostParts = kLatentValues / kPartColumns;
constexpr int kEarlyTiles = 2;  // that may be on their way before the kernel before has ended

// Of a thread of a warpgroup that sums, scores or brings.
struct Registers {
  int sum;
  int score;
  int bring;
};
// Together those of a multiprocessor.
constexpr Registers registers_of(int halves, int head_tiles) {
  if (halves == kHalves) return {176, 112, 48};
  return head_tiles == 1 ? Registers{112, 176, 112} : Registers{176, 120, 40};
}
constexpr bool fit(const Registers& each) {
  return (kSumGroups * each.sum + each.score + each.bring) * kGroup <= 65536;
}
static_assert(fit(registers_of(1, 1)) && fit(registers_of(1, 2)) && fit(registers_of(kHalves, 1)));

// From what a kernel's threads begin with.
template <int kCount>
__device__ __forceinline__ void set_registers() {
  if constexpr (kCount * kThreads > 65536)
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
  else
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

// Scores of one half of the columns, which the block with the other half has sent, in turn here and
// there. A block that has both halves needs none.
constexpr int kSlots = 2;
template <int kOwn>
struct OtherScores {
  float4 scores[kSlots][8][kGroup];  // a thread's 32, four by four
};
template <>
struct OtherScores<kHalves> {};

// Of a block with `kOwn` halves and so many tiles of heads.
template <class T, int kOwn, int kHeadTiles>
struct Room : OtherScores<kOwn> {
  static constexpr int kSlices = kOwn * kHalfSlices + 1;  // of a tile
  static constexpr int kTile = kSlices * kSlice;          // elements
  static constexpr int kTiles = kOwn * kHeadTiles == 1 ? kMostTiles : 2;

  T queries[kHeadTiles][kTile];
  T tiles[kTiles][kTile];
  T weights[kHeadTiles][kTileHeads * kKeys];
};

struct Meetings {
  uint64_t queries;
  uint64_t full[kMostTiles][kMostParts];
  uint64_t empty[kMostTiles][kMostParts];
  uint64_t weights_full[kMostHeadTiles];
  uint64_t weights_empty[kMostHeadTiles];
  uint64_t scores[kSlots];
  float factors[kMostHeadTiles][kTileHeads];  // of the sums so far
  float largest[kMostHeadTiles][kTileHeads];
  float total[kMostHeadTiles][kTileHeads];
};

// Where a 16-byte unit of a row of 64 columns stands, in elements: see swizzled_rows().
__device__ constexpr int unit_at(int row, int unit) { return row * 64 + (unit ^ row % 8) * 8; }

// A block with `kOwn` halves of the columns; where it is one, the cluster's other block has the
// other. Warpgroups that sum have other columns each, or, of two tiles of heads, other heads.
template <class T, int kOwn, int kHeadTiles>
struct LatentBlock {
  using OwnRoom = Room<T, kOwn, kHeadTiles>;
  static constexpr int kTiles = OwnRoom::kTiles;
  static constexpr int kSlices = OwnRoom::kSlices;
  static constexpr int kBlocks = kHalves / kOwn;  // of a chunk
  static constexpr int kParts = kOwn * kHalfColumns / kPartColumns;
  static constexpr int kSumsOfHeads = kSumGroups / kHeadTiles;  // warpgroups that share heads
  static constexpr int kOwnParts = kParts / kSumsOfHeads;       // of a warpgroup
  static constexpr int kColumns = kOwnParts * kPartColumns;     // of a warpgroup

  const AttentionCall& call;
  const LatentRow& row;
  OwnRoom& room;
  Meetings& meetings;
  int share;  // the half of a block that has one, else 0
  int warp;   // of its warpgroup
  int lane;

  __device__ static constexpr int part_slice(int part) {
    return part == kParts ? kSlices : part * kPartSlices;
  }
  __device__ static uint32_t full(const Meetings& at, int tile, int part) {
    return shared_address(&at.full[tile % kTiles][part]);
  }
  __device__ static uint32_t empty(const Meetings& at, int tile, int part) {
    return shared_address(&at.empty[tile % kTiles][part]);
  }
  // Of the barriers' phase that fills this tile.
  __device__ static uint32_t parity(int tile) { return tile / kTiles % 2; }

  // One thread's.
  __device__ static void init(Meetings& at) {
    barrier_init(shared_address(&at.queries), kSumGroups * kGroup);
    for (int place = 0; place < kTiles; ++place)
      for (int part = 0; part < kParts; ++part) {
        barrier_init(full(at, place, part), kGroup);
        barrier_init(empty(at, place, part), (1 + kHeadTiles) * kGroupWarps);  // scored, and summed
      }
    for (int heads = 0; heads < kHeadTiles; ++heads) {
      barrier_init(shared_address(&at.weights_full[heads]), kGroupWarps);
      barrier_init(shared_address(&at.weights_empty[heads]), kSumsOfHeads * kGroupWarps);
    }
    for (uint64_t& barrier : at.scores) barrier_init(shared_address(&barrier), 1);
    barrier_init_done();
  }

  // What the warp's products were is no longer needed.
  __device__ void release(int tile, int first_part, int parts) const {
    if (lane != 0) return;
#pragma unroll
    for (int part = first_part; part < first_part + parts; ++part)
      barrier_arrive(empty(meetings, tile, part));
  }

  // Those that score and sum: all products are done, and the heads' totals known.
  __device__ void meet_at_end() const {
    asm volatile("bar.sync 1, %0;" ::"n"((kSumGroups + 1) * kGroup) : "memory");
  }
};

}  // namespace strake::cuda::latent
