// What the kernel of many_rows_kernel_sm90.h is told.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "ops/cuda/weight_layout.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

inline constexpr int kBlockOutputs = 128;  // that a block makes at a time: eight row tiles
inline constexpr int kMaxPieces = 8;
// Levels of its stack of sums that a block with 128 tokens may have in device memory, and what it
// takes of that.
inline constexpr int kMostDeeper = 2;
inline constexpr int64_t kDeeperBytes = int64_t{kMostDeeper} * kBlockOutputs * 128 * 4;
// What a call has in device memory: that, or pieces of sums, for each multiprocessor, and behind
// all a count for each, which is zero between calls.
inline constexpr int64_t many_rows_memory_bytes(int multiprocessors) {
  return multiprocessors * (kDeeperBytes + int64_t{sizeof(unsigned)});
}
inline constexpr int kMaxRuns = kMaxLeaves + kMaxPieces - 1;

struct ManyRowsParameters {
  // Consecutive tiles of a packed row and the column of x where the first begins.
  struct Run {
    int column;
    int tiles;
  };
  // The next `tiles` tiles are one sum, which then merges so many times with those before it.
  struct Sum {
    int tiles;
    int merges;
  };

  CUtensorMap x;  // [tokens, K]; boxes of 64 columns and a block's share of its tokens
  void* out;      // [tokens, outputs]
  DType type;     // of the result
  int outputs;
  int tokens;
  int row_tiles;    // of 16 outputs
  int row_k_tiles;  // packed tiles of a row tile
  int share_x;      // blocks that share activations
  int pieces;       // blocks that share a sum
  bool in_memory;   // its pieces meet there, not in a cluster
  int row_groups;   // of share_x blocks of outputs
  int token_blocks;
  int band;       // token blocks that all rows go through before the next ones
  int levels;     // of the stack of sums in shared memory
  float* deeper;  // those below, a block's after the other's
  int deeper_levels;
  float* piece_sums;   // in memory, a block's after the other's
  unsigned* arrivals;  // of pieces there, for each tile of the result
  float sum_factor;    // of each leaf, where the format has one
  bool follows;        // ManyRowsCall's
  bool leads;
  int piece_tile[kMaxPieces + 1];  // where a piece begins in a packed row
  int run_begin[kMaxPieces + 1];
  int sum_begin[kMaxPieces + 1];
  Run runs[kMaxRuns];
  Sum sums[kMaxLeaves];

  constexpr int tile_blocks() const { return share_x * pieces; }
  constexpr int cluster_blocks() const { return in_memory ? 1 : tile_blocks(); }

  // Tiles of the result, for so many blocks each. Those at work together have few rows of weights,
  // and a band of x, which stay in the L2 cache meanwhile.
  struct Place {
    int row_group;
    int token_block;
  };
  constexpr int tiles() const { return row_groups * token_blocks; }
  constexpr Place place(int tile) const {
    const auto in_band = static_cast<unsigned>(band * row_groups);
    const unsigned before = static_cast<unsigned>(tile) / in_band * static_cast<unsigned>(band);
    const unsigned left = static_cast<unsigned>(token_blocks) - before;
    const unsigned width = left < static_cast<unsigned>(band) ? left : static_cast<unsigned>(band);
    const unsigned in = static_cast<unsigned>(tile) % in_band;
    return {static_cast<int>(in / width), static_cast<int>(before + in % width)};
  }
};

}  // namespace strake::cuda
