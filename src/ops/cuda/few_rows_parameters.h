// What the kernel of few_rows_kernel.h is told.
#pragma once

#include <cstdint>

#include "ops/cuda/weight_layout.h"

namespace strake::cuda {

// The order in which leaves combine. Each leaf is pushed on a stack of sums; then `merges` times
// the two sums on top are replaced by theirs; then, where `node` is not -1, the one on top is that
// node's result and popped.
struct LeafSteps {
  int8_t merges[kMaxLeaves] = {};
  int8_t node[kMaxLeaves] = {};
  int8_t nodes = 0;

  // Whether they are one node's and its subtrees have as many leaves on either side.
  constexpr bool perfect(int leaves) const {
    bool found = nodes == 1 && (leaves & (leaves - 1)) == 0;
    for (int leaf = 0; leaf < leaves; ++leaf) {
      int whole = 0;  // subtrees that the leaf is the last of
      while (leaf >> whole & 1) ++whole;
      found = found && merges[leaf] == whole;
    }
    return found;
  }
};

// Rows that multiply a matrix each. All arrays are in device memory.
struct ExpertRows {
  static constexpr int kMost = 256;
  static constexpr int kMaxGroups = 16;

  int rows = 0;                     // 0: one matrix for all rows
  int matrices = 0;                 // rows with an index outside [0, matrices) are left out
  const int32_t* matrix = nullptr;  // [rows]
  int32_t first_matrix = 0;         // what `matrix` counts from
  const int32_t* source = nullptr;  // [rows]: the row of x; null: its own
  const int32_t* token = nullptr;   // [rows]: the row of the result that a mixture adds to
  const float* factor = nullptr;    // [rows]: what its product is multiplied with there
  int tokens = 0;                   // 0: results stay apart
  int groups = 1;                   // of matrices that a mixture sums each for itself
  int32_t group_cuts[kMaxGroups + 1] = {};
};

// What ExpertVisits takes of shared memory.
inline constexpr int kExpertVisitsBytes = 5120;

// What sums are rounded to.
enum class OutType : int { kF32, kBF16, kF16 };

struct FewRowsParameters {
  const uint8_t* codes;
  const uint8_t* scales;
  int64_t matrix_codes;  // bytes
  int64_t matrix_scales;
  int64_t row_codes;  // bytes of a row tile
  int64_t row_scales;
  Leaves leaves;
  LeafSteps steps;
  int perfect;     // LeafSteps::perfect()
  float factor;    // on each sum
  int f16_scales;  // affine scales of 16 bits are float16, not bfloat16
  const void* x;   // [x_rows, x_stride]
  int64_t x_stride;
  int x_rows;
  int x_halves;  // x is float16, as two bfloat16 each: their sum. 1 or 2
  int x_whole;   // leaves stand in shared memory as in x, 16 bytes at a time
  void* out;     // [groups][nodes][out_rows][outputs]
  OutType out_type;
  int out_rows;
  int node_rows;  // out's: more than out_rows where a call is made part by part
  int outputs;
  int row_tiles;
  ExpertRows experts;
  int stages;          // of a warp's ring
  int slices;          // of leaves, that blocks divide
  int items_at_once;   // that a block takes
  int turns;           // of a block, at most
  int columns;         // of sums for an item
  float* leaf_sums;    // [groups][leaves or slices][out_rows][row_tiles * 16]
  unsigned* arrivals;  // zeros
  // Where a block's shared memory has what.
  int sums_at;  // [2][units][columns][16 rows]
  int units;    // of the largest slice: items_at_once times its leaves
  int x_at;     // [x_rows * x_halves][x_row_bytes]
  int x_row_bytes;
  int group_sums_at;  // [groups of the slice][x_rows * x_halves]
  int visits_at;      // ExpertVisits
  int last_at;        // bool
};

}  // namespace strake::cuda
