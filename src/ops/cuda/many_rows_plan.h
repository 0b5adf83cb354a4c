// How a product with many rows is cut into blocks, and the order of its sums. Host only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "ops/cuda/many_rows_parameters.h"
#include "strake/ops/sum_tree.h"

namespace strake::cuda {

// Whether the leaves of a node are summed each for itself and combined along the tree, or one after
// the other: faster, with bits of its own. The choice must not depend on the outputs at hand, which
// are fewer where more GPUs divide them.
enum class LeafOrder { kTree, kChain };

// What the order of a product's sums depends on, beside K.
struct SumOrder {
  LeafOrder leaves = LeafOrder::kTree;
  int64_t tokens = 0;
};
// A chain of so many tiles is cut into parts, a power of two, so that several blocks can share one
// tile of the result where tokens are few. The parts' sums are added as the leaves of a full tree.
int chain_parts(int64_t tokens, int tiles);

struct ManyRowsTiling {
  int tokens = 0;   // of a tile: 32, 64, 128, 256 (with one sum alone)
  int share_x = 1;  // neighbouring blocks of outputs that bring activations for each other
  int pieces = 1;   // blocks that a tile's sum is divided over
  // Their sums meet in memory, not in a cluster, which is slower, but lets them be anywhere.
  bool in_memory = false;
  friend bool operator==(const ManyRowsTiling&, const ManyRowsTiling&) = default;
};

// One node of a call: its sums, piece by piece.
struct ManyRowsSchedule {
  std::array<int, kMaxPieces + 1> piece_tile{};
  std::array<int, kMaxPieces + 1> run_begin{};
  std::array<int, kMaxPieces + 1> sum_begin{};
  std::array<ManyRowsParameters::Run, kMaxRuns> runs{};
  std::array<ManyRowsParameters::Sum, kMaxLeaves> sums{};
  // Sums that wait on a piece's stack at once, at most: each for itself, or two leaves of one node
  // together.
  int deepest = 0;
  int deepest_of_pairs = 0;

  // Tiles of the longest piece.
  int longest(int pieces) const;
};

// Where a node begins in a packed row and in x.
struct PackedPlace {
  int tile = 0;
  int column = 0;
};

// Nothing where the tree has no `pieces` nodes at one depth, or too many leaves. A chain has at
// most a piece for each part.
std::optional<ManyRowsSchedule> many_rows_schedule(const SumTree& tree, int node, PackedPlace begin,
                                                   int pieces, SumOrder order);
// Tiles of a node's leaves, each padded for itself.
int packed_tiles(const SumTree& tree, int node);

struct ManyRowsSize {
  int64_t tokens;
  int64_t outputs;
  int multiprocessors;
  bool has_workspace = false;
};
// Whether the workspace has room for this tiling, whose pieces meet there.
bool can_meet_in_memory(const ManyRowsTiling& tiling, const ManyRowsSize& size);
// The fastest by a model of the kernel's time; nothing where no tiling can do it.
std::optional<ManyRowsTiling> choose_tiling(const ManyRowsSize& size, const SumTree& tree, int node,
                                            LeafOrder order);
// Whether a kernel has room for it.
bool can_have(const ManyRowsTiling& tiling, const ManyRowsSchedule& schedule);
// Stack levels that a kernel keeps in shared memory for this schedule, and in the workspace.
int shared_levels(const ManyRowsTiling& tiling, const ManyRowsSchedule& schedule);
int deeper_levels(const ManyRowsTiling& tiling, const ManyRowsSchedule& schedule);

}  // namespace strake::cuda
