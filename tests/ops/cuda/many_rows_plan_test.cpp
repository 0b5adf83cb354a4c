// How products with many rows are cut: what blocks do, done here with terms for sums.
#include "ops/cuda/many_rows_plan.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace strake::cuda {
namespace {

std::string leaf_name(int64_t column) { return std::to_string(column); }

// The sum of a node as the tree has it, of leaves named by their first column.
std::string term(const SumTree& tree, int node) {
  const SumTree::Node& at = tree.node(node);
  if (at.left < 0) return leaf_name(at.begin);
  return "(" + term(tree, at.left) + "+" + term(tree, at.right) + ")";
}

std::string joined(const std::string& left, const std::string& right) {
  return "(" + left + "+" + right + ")";
}

// What a block of `tokens` computes of a piece, from sums of these names; `most` levels were used.
std::string piece_term(const ManyRowsSchedule& schedule, const std::vector<std::string>& names,
                       int piece, int tokens, int& most) {
  const auto at = static_cast<size_t>(piece);
  std::vector<std::string> stack;
  const int last = schedule.sum_begin[at + 1] - 1;
  const auto merges_of = [&](int index) {
    return schedule.sums[static_cast<size_t>(index)].merges;
  };
  const auto name_of = [&](int index) { return names[static_cast<size_t>(index)]; };
  std::string sum;
  for (int index = schedule.sum_begin[at]; index <= last; ++index) {
    sum = name_of(index);
    int merges = merges_of(index);
    if (tokens == 128 && index < last && merges == 0 && merges_of(index + 1) > 0) {
      sum = joined(sum, name_of(++index));
      merges = merges_of(index) - 1;
    }
    for (; merges > 0; --merges) {
      sum = joined(stack.back(), sum);
      stack.pop_back();
    }
    if (index < last) stack.push_back(sum);
    most = std::max(most, static_cast<int>(stack.size()));
  }
  EXPECT_TRUE(stack.empty());
  return sum;
}

// What a cluster computes.
std::string whole_term(const ManyRowsSchedule& schedule, const std::vector<std::string>& names,
                       const ManyRowsTiling& tiling, int& most) {
  std::vector<std::string> terms;
  for (int piece = 0; piece < tiling.pieces; ++piece)
    terms.push_back(piece_term(schedule, names, piece, tiling.tokens, most));
  for (size_t width = 1; width < terms.size(); width *= 2)
    for (size_t of = 0; of + width < terms.size(); of += 2 * width)
      terms[of] = joined(terms[of], terms[of + width]);
  return terms[0];
}

const std::vector<std::vector<int64_t>> kCuts = {
    {0, 64},
    {0, 96, 128},
    {0, 64, 128, 192, 256, 320, 384, 448, 512},
    {0, 96, 256, 288, 512, 640, 736, 928, 992},
    {0, 32, 64, 96, 128, 1024},
    {0, 64, 128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960, 1024}};

TEST(ManyRowsPlan, PiecesCombineAsTheTreeDoes) {
  for (const auto& cuts : kCuts) {
    const SumTree tree(cuts);
    for (const int pieces : {1, 2, 4, 8}) {
      const auto schedule = many_rows_schedule(tree, 0, {}, pieces, {LeafOrder::kTree, 64});
      if (!schedule) continue;
      for (const int tokens : {64, 128}) {
        std::vector<std::string> names;
        for (const auto& run : schedule->runs) names.push_back(leaf_name(run.column));
        int most = 0;
        const std::string all = whole_term(*schedule, names, {tokens, 1, pieces}, most);
        EXPECT_EQ(all, term(tree, 0)) << cuts.size() << " cuts, " << pieces << " pieces";
        const ManyRowsTiling tiling{tokens, 1, pieces};
        EXPECT_EQ(most, shared_levels(tiling, *schedule) + deeper_levels(tiling, *schedule));
      }
    }
  }
}

TEST(ManyRowsPlan, PiecesOfAChainCombineTheSame) {
  const SumTree tree(std::vector<int64_t>{0, 96, 512, 1000});
  const std::vector<std::string> names{"a", "b", "c", "d"};
  for (const int pieces : {1, 2, 4})
    for (const int tokens : {64, 128}) {
      const auto schedule = many_rows_schedule(tree, 0, {}, pieces, {LeafOrder::kChain, 64});
      ASSERT_TRUE(schedule);
      for (const int sum : {0, 1, 2, 3})
        EXPECT_EQ(schedule->sums[static_cast<size_t>(sum)].tiles,
                  (17 * (sum + 1)) / 4 - 17 * sum / 4);
      int most = 0;
      EXPECT_EQ(whole_term(*schedule, names, {tokens, 1, pieces}, most), "((a+b)+(c+d))");
      EXPECT_LE(most, shared_levels({tokens, 1, pieces}, *schedule));
    }
}

constexpr SumOrder kOrders[] = {{LeafOrder::kTree, 64},
                                {LeafOrder::kChain, 64},
                                {LeafOrder::kChain, 512},
                                {LeafOrder::kChain, 2048}};

// Where each tile of columns begins.
std::vector<int> columns_of(const ManyRowsSchedule& schedule, int pieces) {
  std::vector<int> columns;
  for (int run = 0; run < schedule.run_begin[static_cast<size_t>(pieces)]; ++run) {
    const auto& of = schedule.runs[static_cast<size_t>(run)];
    for (int tile = 0; tile < of.tiles; ++tile) columns.push_back(of.column + tile * kTileInputs);
  }
  return columns;
}
std::vector<int> columns_of(const SumTree& tree, int begin) {
  const auto schedule = many_rows_schedule(tree, 0, {0, begin}, 1, {LeafOrder::kTree, 64});
  return columns_of(*schedule, 1);
}

TEST(ManyRowsPlan, PiecesFollowOneAnotherInAPackedRow) {
  for (const auto& cuts : kCuts) {
    const SumTree tree(cuts);
    for (const int pieces : {1, 2, 3, 4}) {
      for (const SumOrder order : kOrders) {
        const auto schedule = many_rows_schedule(tree, 0, {7, 100}, pieces, order);
        if (!schedule) continue;
        EXPECT_EQ(schedule->piece_tile[0], 7);
        EXPECT_EQ(schedule->piece_tile[static_cast<size_t>(pieces)], 7 + packed_tiles(tree, 0));
        for (size_t piece = 0; piece < static_cast<size_t>(pieces); ++piece) {
          const int tiles = schedule->piece_tile[piece + 1] - schedule->piece_tile[piece];
          int of_runs = 0, of_sums = 0;
          for (int i = schedule->run_begin[piece]; i < schedule->run_begin[piece + 1]; ++i)
            of_runs += schedule->runs[static_cast<size_t>(i)].tiles;
          for (int i = schedule->sum_begin[piece]; i < schedule->sum_begin[piece + 1]; ++i)
            of_sums += schedule->sums[static_cast<size_t>(i)].tiles;
          EXPECT_EQ(of_runs, tiles);
          EXPECT_EQ(of_sums, tiles);
        }
        EXPECT_EQ(schedule->runs[0].column, 100);
        EXPECT_EQ(columns_of(*schedule, pieces), columns_of(tree, 100));
      }
    }
  }
}

TEST(ManyRowsPlan, TilesCoverTheResultOnce) {
  for (const int row_groups : {1, 3, 16})
    for (const int token_blocks : {1, 2, 5, 8, 19})
      for (const int band : {1, 2, 8}) {
        ManyRowsParameters p{};
        p.row_groups = row_groups;
        p.token_blocks = token_blocks;
        p.band = band;
        std::set<std::pair<int, int>> seen;
        for (int tile = 0; tile < p.tiles(); ++tile) {
          const auto place = p.place(tile);
          EXPECT_TRUE(place.row_group >= 0 && place.row_group < row_groups);
          EXPECT_TRUE(place.token_block >= 0 && place.token_block < token_blocks);
          seen.insert({place.row_group, place.token_block});
        }
        EXPECT_EQ(seen.size(), static_cast<size_t>(p.tiles()));
      }
}

// Equal leaves.
SumTree even_tree(int64_t inputs, int leaves) {
  std::vector<int64_t> cuts;
  for (int leaf = 0; leaf <= leaves; ++leaf) cuts.push_back(inputs * leaf / leaves);
  return SumTree(cuts);
}

TEST(ManyRowsPlan, ChoosesWhatAKernelHasRoomFor) {
  for (const auto& cuts : kCuts) {
    const SumTree tree(cuts);
    for (const LeafOrder order : {LeafOrder::kTree, LeafOrder::kChain})
      for (const int64_t tokens : {17, 64, 128, 300, 4096})
        for (const int64_t outputs : {1, 128, 4096, 28672}) {
          const auto tiling = choose_tiling({tokens, outputs, 132}, tree, 0, order);
          ASSERT_TRUE(tiling);
          const auto schedule = many_rows_schedule(tree, 0, {}, tiling->pieces, {order, tokens});
          ASSERT_TRUE(schedule);
          EXPECT_TRUE(can_have(*tiling, *schedule));
          EXPECT_FALSE(tiling->in_memory);
        }
  }
}

TEST(ManyRowsPlan, PiecesMeetInMemoryWhereItHasRoom) {
  // 32 tiles in four pieces each do not fit as clusters.
  const ManyRowsSize size{128, 4096, 132, true};
  const SumTree tree = even_tree(4096, 16);
  for (const LeafOrder order : {LeafOrder::kTree, LeafOrder::kChain}) {
    const auto tiling = choose_tiling(size, tree, 0, order);
    ASSERT_TRUE(tiling);
    EXPECT_EQ(*tiling, (ManyRowsTiling{128, 1, 4, true}));
  }
  EXPECT_TRUE(can_meet_in_memory({128, 1, 8, true}, size));
  EXPECT_FALSE(can_meet_in_memory({256, 1, 8, true}, size));  // the same tiles, twice as large
  EXPECT_FALSE(can_meet_in_memory({128, 1, 4, true}, {128, 4096, 132, false}));
  // Counts for more tiles than there are.
  EXPECT_FALSE(can_meet_in_memory({32, 1, 2, true}, {1024, 4096, 132, true}));
  const auto schedule = many_rows_schedule(tree, 0, {}, 2, {LeafOrder::kTree, 128});
  ASSERT_TRUE(schedule);
  EXPECT_TRUE(can_have({128, 1, 2, true}, *schedule));
  EXPECT_FALSE(can_have({128, 2, 2, true}, *schedule));
}

// Where a tiling was measured to be the fastest by a twelfth and more, on 132 multiprocessors.
TEST(ManyRowsPlan, ChoosesWhatIsFastestByFar) {
  struct Case {
    int64_t outputs, inputs, tokens;
    LeafOrder order;
    ManyRowsTiling fastest;
    bool has_workspace = true;
  };
  for (const Case& of : {Case{14336, 4096, 512, LeafOrder::kChain, {256, 1, 2}},
                         {4096, 4096, 512, LeafOrder::kChain, {256, 1, 2}},
                         {4096, 4096, 128, LeafOrder::kTree, {64, 1, 2}, false},
                         {4096, 14336, 128, LeafOrder::kChain, {128, 1, 4, true}},
                         {4096, 14336, 128, LeafOrder::kTree, {128, 1, 4, true}},
                         {14336, 4096, 128, LeafOrder::kTree, {128, 1, 1}},
                         {4096, 14336, 2048, LeafOrder::kChain, {256, 1, 1}},
                         {4096, 4096, 2048, LeafOrder::kTree, {128, 2, 1}},
                         {8192, 8192, 128, LeafOrder::kTree, {128, 1, 2}}}) {
    const auto chosen = choose_tiling({of.tokens, of.outputs, 132, of.has_workspace},
                                      even_tree(of.inputs, 16), 0, of.order);
    ASSERT_TRUE(chosen);
    EXPECT_EQ(*chosen, of.fastest)
        << of.outputs << " x " << of.inputs << ", " << of.tokens << ": " << chosen->tokens << "."
        << chosen->share_x << "." << chosen->pieces << (chosen->in_memory ? " in memory" : "");
  }
}

}  // namespace
}  // namespace strake::cuda
