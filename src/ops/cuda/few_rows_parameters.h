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
  int most_rows = kMost;  // that choose one matrix, as far as is known
  // Whether the arrays are complete before the kernel before has ended: constants are, and others
  // once a product with few rows has been queued behind what writes them. It lets nobody start
  // before it has waited.
  int known = 0;
};

// What ExpertVisits takes of shared memory, and what a visit does for each column of a mixture.
inline constexpr int kExpertVisitsBytes = 2688;
inline constexpr int kMixedColumnBytes = 8;

// What sums are rounded to.
enum class OutType : int { kF32, kBF16, kF16 };

// Division by what the host knows. Right where dividend times divisor is at most 2^31; else, below
// 2^31, a quotient may be more by one.
struct Divisor {
  uint32_t multiplier = 0;

  Divisor() = default;
  constexpr explicit Divisor(int by)
      : multiplier((kOne + static_cast<uint32_t>(by) - 1) / static_cast<uint32_t>(by)) {}
  constexpr int quotient(int dividend) const {
    return static_cast<int>(uint64_t{static_cast<uint32_t>(dividend)} * multiplier / kOne);
  }

 private:
  static constexpr uint32_t kOne = uint32_t{1} << 31;
};
constexpr bool divides_exactly(int by) {
  const Divisor divisor(by);
  for (int i = 1; i * by < 1000; ++i)
    if (divisor.quotient(i * by - 1) != i - 1 || divisor.quotient(i * by) != i) return false;
  return true;
}
static_assert(divides_exactly(1) && divides_exactly(2) && divides_exactly(3) &&
              divides_exactly(7) && divides_exactly(13) && divides_exactly(16) &&
              divides_exactly(255));

// A warp's ring of stages: codes of some tiles and their scales each.
inline constexpr int kMostStages = 4;
struct RingShape {
  int stages = 0;  // 2 to kMostStages
  int stage_bytes = 0;
  int scales_at = 0;
};

// Items in a window, at most.
inline constexpr int kMostWindow = 32;

// What rows multiply: one matrix all, or experts' that they choose, with results that stay apart or
// are summed for each token.
enum class Matrices { kOne, kApart, kMixed };

// A matrix, or the first of experts', and where its results go.
struct FewRowsMatrix {
  const uint8_t* codes;
  const uint8_t* scales;
  void* out;  // [groups][nodes][out_rows][outputs]
  OutType out_type;
  int outputs;
  uint32_t next_codes;  // bytes from one of experts' to the next
  uint32_t next_scales;
  float factor;    // on each sum
  int first_tile;  // its first row tile among those of all
};
inline constexpr int kMostJoined = 4;

struct FewRowsParameters {
  // What the same activations multiply, row tile after row tile: beyond the last, first_tile is
  // more than there are.
  FewRowsMatrix matrices[kMostJoined];
  uint32_t row_codes;  // bytes of a row tile
  uint32_t row_scales;
  Leaves leaves;
  LeafSteps steps;
  int perfect;     // LeafSteps::perfect()
  int f16_scales;  // affine scales of 16 bits are float16, not bfloat16
  const void* x;   // [x_rows, x_stride]
  int64_t x_stride;
  int x_rows;
  int x_halves;  // x is float16, as two bfloat16 each: their sum. 1 or 2
  int x_whole;   // leaves stand in shared memory as in x, 16 bytes at a time
  int out_rows;
  int node_rows;  // of results: more than out_rows where a call is made part by part
  int row_tiles;  // of all matrices
  Divisor by_row_tiles;
  ExpertRows experts;
  RingShape ring;
  int chunk_tiles;     // that a stage has at most
  int visits_at_once;  // whole leaves of a mixture's visits that a stage has, of one row tile
  int slices;          // of leaves, that blocks divide
  Divisor by_slices;
  int least_leaves;  // of a slice; others have one more
  Divisor by_leaves[2];
  int blocks;       // of a slice
  int block_items;  // but of experts' rows apart: a block's, and some blocks have one more
  int blocks_with_more;
  // Bytes from one of a warp's units to its next, if that is of the same leaf; else 0.
  uint32_t codes_apart;
  uint32_t scales_apart;
  int visit_columns;  // rows that a visit of experts apart has at most
  int columns;        // of sums for an item
  Divisor by_columns;
  float* leaf_sums;    // [groups][leaves or slices][out_rows][row_tiles * 16]
  unsigned* arrivals;  // of slices at an item: zeros
  // Where a block's shared memory has what; barriers stand first.
  int rings_at;
  int sums_at;      // [units][columns][16 rows]
  int units;        // of a block, or of a window: as many leaves as the largest slice has
  int window;       // items that have a place for sums at a time, 2^window_bits; 0: all
  int window_bits;  // SumWindow
  int x_room;       // rows of x that a block has: all, or those of its experts' visits alone
  int x_at;         // [x_room * x_halves][x_row_bytes]
  int x_row_bytes;
  int group_sums_at;  // [groups of the slice][1, with shifts 2][group_sums]
  int group_sums;     // x_halves times x_room, an even number
  int visits_at;      // ExpertVisits
  int mixed_at;       // MixedColumn [visits][columns that the kernel has]
  int counts_at;      // SumWindow: [kMostWindow + 1] unsigned
};

}  // namespace strake::cuda
