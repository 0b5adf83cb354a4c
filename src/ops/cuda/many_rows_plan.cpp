#include "ops/cuda/many_rows_plan.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace strake::cuda {
namespace {

int tiles_of(const SumTree::Node& node) {
  return static_cast<int>((node.end - node.begin + kTileInputs - 1) / kTileInputs);
}

class Builder {
 public:
  Builder(const SumTree& tree, PackedPlace begin) : tree_(tree), at_(begin) {
    built_.piece_tile[0] = at_.tile;
  }

  // The nodes so many levels below, each a piece.
  bool add_pieces(int node, int levels) {
    if (levels > 0) {
      const SumTree::Node& at = tree_.node(node);
      return at.left >= 0 && add_pieces(at.left, levels - 1) && add_pieces(at.right, levels - 1);
    }
    if (!add(node, {})) return false;
    cut_ = runs_;
    end_piece(at_.tile);
    return true;
  }

  // A chain's parts, equally many in each piece.
  bool add_chain(int node, int64_t tokens, int pieces) {
    const int first = at_.tile;
    if (!add_runs(node)) return false;
    const int tiles = at_.tile - first;
    const int parts = chain_parts(tokens, tiles);
    if (parts % pieces != 0) return false;
    const int of_piece = parts / pieces;
    built_.deepest = std::countr_zero(static_cast<unsigned>(of_piece));
    built_.deepest_of_pairs = std::max(0, built_.deepest - 1);
    for (int part = 0; part < parts; ++part) {
      const int begin = tiles * part / parts;
      const int end = tiles * (part + 1) / parts;
      const int in_piece = part % of_piece;
      add_sum({end - begin, std::countr_one(static_cast<unsigned>(in_piece))});
      if (in_piece + 1 < of_piece) continue;
      cut_runs(first + end);
      end_piece(first + end);
    }
    return true;
  }
  const ManyRowsSchedule& built() const { return built_; }

 private:
  void add_sum(ManyRowsParameters::Sum sum) { built_.sums[static_cast<size_t>(sums_++)] = sum; }

  // The piece that has all sums, and all runs up to cut_, since the one before it.
  void end_piece(int tile) {
    const auto end = static_cast<size_t>(++pieces_);
    built_.piece_tile[end] = tile;
    built_.run_begin[end] = cut_;
    built_.sum_begin[end] = sums_;
  }

  // Parts the run that goes on at `tile`; runs before cut_ are of pieces that end there or before.
  void cut_runs(int tile) {
    int at = built_.piece_tile[static_cast<size_t>(pieces_)];
    for (; cut_ < runs_ && at < tile; ++cut_) {
      auto& run = built_.runs[static_cast<size_t>(cut_)];
      const int before = tile - at;
      if (run.tiles > before) {
        std::copy_backward(built_.runs.begin() + cut_, built_.runs.begin() + runs_,
                           built_.runs.begin() + runs_ + 1);
        ++runs_;
        built_.runs[static_cast<size_t>(cut_) + 1] = {run.column + before * kTileInputs,
                                                      run.tiles - before};
        run.tiles = before;
      }
      at += run.tiles;
    }
  }

  bool add_run(const SumTree::Node& leaf) {
    if (runs_ == kMaxLeaves) return false;
    const int tiles = tiles_of(leaf);
    built_.runs[static_cast<size_t>(runs_++)] = {at_.column, tiles};
    at_.tile += tiles;
    at_.column += static_cast<int>(leaf.end - leaf.begin);
    return true;
  }
  bool add_runs(int node) {
    const SumTree::Node& at = tree_.node(node);
    return at.left < 0 ? add_run(at) : add_runs(at.left) && add_runs(at.right);
  }

  // What waits while a node is summed.
  struct Below {
    int sums = 0;
    int pairs = 0;  // without those whose leaf is being summed
  };
  bool is_leaf(int node) const { return tree_.node(node).left < 0; }
  bool add(int node, Below below) {
    const SumTree::Node& at = tree_.node(node);
    if (at.left >= 0) {
      const bool is_pair = is_leaf(at.left) && is_leaf(at.right);
      const Below of_right{below.sums + 1, below.pairs + (is_pair ? 0 : 1)};
      if (!add(at.left, below) || !add(at.right, of_right)) return false;
      ++built_.sums[static_cast<size_t>(sums_ - 1)].merges;
      return true;
    }
    if (!add_run(at)) return false;
    add_sum({tiles_of(at), 0});
    built_.deepest = std::max(built_.deepest, below.sums);
    built_.deepest_of_pairs = std::max(built_.deepest_of_pairs, below.pairs);
    return true;
  }

  const SumTree& tree_;
  PackedPlace at_;
  ManyRowsSchedule built_;
  int runs_ = 0;
  int cut_ = 0;
  int sums_ = 0;
  int pieces_ = 0;
};

// What a block has room for, beside stages and weights.
int most_levels(int tokens) {
  switch (tokens) {
    case 32:
      return 6;
    case 64:
      return 3;
    default:
      return 2;
  }
}

// Measured cycles that the blocks of one multiprocessor take for a tile of columns each: decoding
// and products overlap in part.
double cycles_of_tile(int tokens, int resident, int levels) {
  switch (tokens) {
    case 32:
      return resident == 1 ? 600 : 900;
    case 64:
      return resident == 1 ? 790 : 1250;
    case 128:
      return levels < 2 ? 880 : 1100;
    default:
      return 1270;
  }
}

// Cycles without products where a sum ends.
double cycles_of_sums(const ManyRowsTiling& tiling, const ManyRowsSchedule& schedule) {
  return schedule.sum_begin[1] * (930.0 + 1.6 * tiling.tokens) +
         deeper_levels(tiling, schedule) * 4000.0;
}

// Cycles in which a tile goes out, and in pieces a block starts and gets the others' sums: in
// memory the last one all of them.
double cycles_of_end(const ManyRowsTiling& tiling) {
  if (tiling.in_memory) return 6000.0 + (3.0 + 12.0 * tiling.pieces) * tiling.tokens;
  return tiling.pieces > 1 ? 5900.0 + 4.5 * tiling.tokens : 1700.0 + 3.0 * tiling.tokens;
}

// Blocks that a multiprocessor has room for.
int most_resident(const ManyRowsTiling& tiling, const ManyRowsSchedule& schedule) {
  if (tiling.tokens > 64) return 1;
  return schedule.deepest <= (tiling.tokens == 32 ? 2 : 1) ? 2 : 1;
}

// Clusters that a GPU has room for. A cluster lies in one group of multiprocessors, of which some
// lack a pair or more.
int64_t clusters_at_once(int multiprocessors, int blocks, int resident) {
  const int64_t all = int64_t{multiprocessors} * resident / blocks;
  return std::max<int64_t>(1, blocks <= 2 ? all : all * 10 / 11);
}

int64_t row_blocks(const ManyRowsSize& size) {
  return (size.outputs + kBlockOutputs - 1) / kBlockOutputs;
}
int64_t tiles_of(const ManyRowsTiling& tiling, const ManyRowsSize& size) {
  return row_blocks(size) * ((size.tokens + tiling.tokens - 1) / tiling.tokens);
}

double cycles_of(const ManyRowsTiling& tiling, const ManyRowsSchedule& schedule,
                 const ManyRowsSize& size) {
  const int64_t tiles = tiles_of(tiling, size);
  const int most = most_resident(tiling, schedule);
  const int resident = tiles * tiling.pieces > size.multiprocessors ? most : 1;
  const int64_t groups = tiling.in_memory ? tiles * tiling.pieces : tiles;
  const int64_t at_once =
      clusters_at_once(size.multiprocessors, tiling.in_memory ? 1 : tiling.pieces, most);
  const auto waves = static_cast<double>((groups + at_once - 1) / at_once);
  const double tile = schedule.longest(tiling.pieces) *
                          cycles_of_tile(tiling.tokens, resident, shared_levels(tiling, schedule)) +
                      cycles_of_sums(tiling, schedule);
  return waves * (tile + cycles_of_end(tiling));
}

}  // namespace

int chain_parts(int64_t tokens, int tiles) {
  if (tiles < 8 || tokens > 1024) return 1;
  return tokens > 128 ? 2 : 4;
}

int ManyRowsSchedule::longest(int pieces) const {
  int longest = 0;
  for (size_t i = 0; i < static_cast<size_t>(pieces); ++i)
    longest = std::max(longest, piece_tile[i + 1] - piece_tile[i]);
  return longest;
}

std::optional<ManyRowsSchedule> many_rows_schedule(const SumTree& tree, int node, PackedPlace begin,
                                                   int pieces, SumOrder order) {
  Builder builder(tree, begin);
  int levels = 0;
  while ((1 << levels) < pieces) ++levels;
  const bool can = order.leaves == LeafOrder::kChain
                       ? builder.add_chain(node, order.tokens, pieces)
                       : pieces == 1 << levels && builder.add_pieces(node, levels);
  if (!can) return std::nullopt;
  return builder.built();
}

int packed_tiles(const SumTree& tree, int node) {
  const SumTree::Node& at = tree.node(node);
  if (at.left < 0) return tiles_of(at);
  return packed_tiles(tree, at.left) + packed_tiles(tree, at.right);
}

int deeper_levels(const ManyRowsTiling& tiling, const ManyRowsSchedule& schedule) {
  // More than one level in shared memory leaves too few stages there. Blocks that make a tile in
  // pieces are too many for memory of their own.
  if (tiling.tokens != 128 || tiling.pieces > 1) return 0;
  return std::max(0, schedule.deepest_of_pairs - 1);
}

int shared_levels(const ManyRowsTiling& tiling, const ManyRowsSchedule& schedule) {
  if (tiling.tokens != 128) return schedule.deepest;
  return schedule.deepest_of_pairs - deeper_levels(tiling, schedule);
}

bool can_have(const ManyRowsTiling& tiling, const ManyRowsSchedule& schedule) {
  if (tiling.in_memory && (tiling.share_x > 1 || tiling.pieces == 1)) return false;
  if (tiling.share_x * tiling.pieces > kMaxPieces || tiling.tokens / 8 < tiling.pieces)
    return false;
  if (tiling.tokens == 256) return schedule.deepest == 0;
  if (deeper_levels(tiling, schedule) > kMostDeeper) return false;
  return shared_levels(tiling, schedule) <= most_levels(tiling.tokens);
}

bool can_meet_in_memory(const ManyRowsTiling& tiling, const ManyRowsSize& size) {
  const int64_t tiles = tiles_of(tiling, size);
  const int64_t bytes = tiles * tiling.pieces * tiling.tokens * kBlockOutputs * int64_t{4};
  return size.has_workspace && tiles <= size.multiprocessors &&
         bytes <= size.multiprocessors * kDeeperBytes;
}

std::optional<ManyRowsTiling> choose_tiling(const ManyRowsSize& size, const SumTree& tree, int node,
                                            LeafOrder order) {
  std::optional<ManyRowsTiling> best;
  double least = std::numeric_limits<double>::infinity();
  for (const int pieces : {1, 2, 4, 8}) {
    const auto schedule = many_rows_schedule(tree, node, {}, pieces, {order, size.tokens});
    if (!schedule) continue;
    for (const int tokens : {32, 64, 128, 256}) {
      for (const bool in_memory : {false, true}) {
        const ManyRowsTiling tiling{tokens, 1, pieces, in_memory};
        if (!can_have(tiling, *schedule)) continue;
        if (deeper_levels(tiling, *schedule) > 0 && !size.has_workspace) continue;
        if (in_memory && !can_meet_in_memory(tiling, size)) continue;
        const double time = cycles_of(tiling, *schedule, size);
        if (time < least) {
          least = time;
          best = tiling;
        }
      }
    }
  }
  // Measured: 1 to 14 % faster along a tree, slower along a chain.
  if (best == ManyRowsTiling{128, 1, 1} && order == LeafOrder::kTree && size.tokens >= 512 &&
      row_blocks(size) % 2 == 0)
    best->share_x = 2;
  return best;
}

}  // namespace strake::cuda
