#include "strake/ops/sum_tree.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "io/expect_error.h"
#include "quant/tensors.h"
#include "strake/ops/backend.h"
#include "support/bits.h"

namespace strake {
namespace {

using testing::ElementsAre;

// So many segments of 1 to 4 units each.
std::vector<int64_t> random_cuts(std::mt19937& random, int segments, int64_t unit) {
  std::vector<int64_t> cuts{0};
  for (int i = 0; i < segments; ++i)
    cuts.push_back(cuts.back() + unit * static_cast<int64_t>(1 + random() % 4));
  return cuts;
}

TEST(SumTree, SplitsAtTheCutNearestToTheMiddle) {
  const int64_t cuts[] = {0, 16, 32, 48, 64};
  const SumTree tree(cuts);
  EXPECT_EQ(tree.extent(), 64);
  ASSERT_EQ(tree.nodes().size(), 7u);
  const SumTree::Node& root = tree.node(0);
  EXPECT_EQ(root.begin, 0);
  EXPECT_EQ(root.end, 64);
  EXPECT_EQ(tree.node(root.left).end, 32);
  EXPECT_EQ(tree.node(root.right).begin, 32);
  const int64_t uneven[] = {0, 10, 80, 90, 100};
  const SumTree other(uneven);
  EXPECT_EQ(other.node(other.node(0).left).end, 80);
}

TEST(SumTree, LeavesAreTheSegmentsAndChildrenTheirParents) {
  std::mt19937 random(1);
  for (int segments = 1; segments <= 40; ++segments) {
    const auto cuts = random_cuts(random, segments, 1);
    const SumTree tree(cuts);
    std::vector<int64_t> ends{0};
    for (const SumTree::Node& node : tree.nodes()) {
      if (node.left < 0) {
        EXPECT_LT(node.right, 0);
        ends.push_back(node.end);
      } else {
        EXPECT_EQ(tree.node(node.left).begin, node.begin);
        EXPECT_EQ(tree.node(node.left).end, tree.node(node.right).begin);
        EXPECT_EQ(tree.node(node.right).end, node.end);
      }
    }
    std::sort(ends.begin(), ends.end());
    EXPECT_EQ(ends, cuts);
  }
}

// The fewest nodes that tile [begin, end), by dynamic programming over their ends.
size_t fewest(const SumTree& tree, const std::vector<int64_t>& cuts, int64_t begin, int64_t end) {
  constexpr size_t kNone = 1000;
  std::vector<size_t> best(static_cast<size_t>(tree.extent()) + 1, kNone);
  best[static_cast<size_t>(begin)] = 0;
  for (const int64_t cut : cuts)
    for (const SumTree::Node& node : tree.nodes())
      if (node.end == cut && node.begin >= begin)
        best[static_cast<size_t>(cut)] =
            std::min(best[static_cast<size_t>(cut)], best[static_cast<size_t>(node.begin)] + 1);
  return best[static_cast<size_t>(end)];
}

TEST(SumTree, CoversAnyRangeOfSegmentsWithTheFewestNodes) {
  std::mt19937 random(2);
  for (const int segments : {1, 2, 3, 5, 8, 13, 24}) {
    const auto cuts = random_cuts(random, segments, 3);
    const SumTree tree(cuts);
    for (size_t i = 0; i < cuts.size(); ++i) {
      EXPECT_TRUE(tree.cover(cuts[i], cuts[i]).empty());
      for (size_t j = i + 1; j < cuts.size(); ++j) {
        const auto nodes = tree.cover(cuts[i], cuts[j]);
        int64_t end = cuts[i];
        for (const int node : nodes) {
          EXPECT_EQ(tree.node(node).begin, end);
          end = tree.node(node).end;
        }
        EXPECT_EQ(end, cuts[j]);
        EXPECT_EQ(nodes.size(), fewest(tree, cuts, cuts[i], cuts[j]));
      }
    }
    EXPECT_THAT(tree.cover(0, tree.extent()), ElementsAre(0));
  }
}

TEST(SumTree, RefusesRangesThatCutASegment) {
  const int64_t cuts[] = {0, 32, 64, 96};
  const SumTree tree(cuts);
  expect_error(ErrorKind::kInternal, "elements [0, 33) cut the segment [32, 64)",
               [&] { tree.cover(0, 33); });
  expect_error(ErrorKind::kInternal, "cut the segment [0, 32)", [&] { tree.cover(1, 64); });
}

TEST(SumTree, RefusesCutsThatMakeNoSegments) {
  for (const auto& cuts :
       std::vector<std::vector<int64_t>>{{}, {0}, {1, 2}, {0, 0}, {0, 5, 5}, {0, 5, 3}, {0, -1}})
    expect_error(ErrorKind::kInternal, "sum tree", [&] { SumTree{cuts}; });
  expect_error(ErrorKind::kInternal, "must ascend: 0 after 0", [] { SumTree::whole(0); });
}

// Who computes which segments, in which order: ranks hold several ranges, or none.
std::vector<std::vector<std::pair<int64_t, int64_t>>> random_shares(
    std::mt19937& random, const std::vector<int64_t>& cuts, int ranks) {
  std::vector<std::vector<std::pair<int64_t, int64_t>>> shares(static_cast<size_t>(ranks));
  for (size_t i = 0; i + 1 < cuts.size();) {
    const size_t last = std::min(cuts.size() - 1, i + 1 + random() % 4);
    shares[random() % shares.size()].emplace_back(cuts[i], cuts[last]);
    i = last;
  }
  return shares;
}

TEST(SumTree, IsFinishedToTheBitsOfTheWholeByAnyRanks) {
  const auto backend = make_backend("cpu", {.threads = 2});
  std::mt19937 random(3);
  const Weight dense = random_weight(1, {3, 32 * 40}).to(DType::kBF16);
  const Weight quantized =
      quantize(random_weight(2, {3, 32 * 40}), Format::parse("mxfp8"), Encoder::kMlx);
  const Tensor inputs = random_weight(3, {5, 32 * 40});
  int differ_from_one_segment = 0;
  for (int round = 0; round < 60; ++round) {
    const auto cuts = random_cuts(random, 1 + round % 10, 32);
    const SumTree tree(cuts);
    const Weight w = (round % 2 ? dense : quantized).slice(1, 0, tree.extent());
    const Tensor x = inputs.slice(1, 0, tree.extent());
    const Tensor whole = backend->matmul(x, w, tree);
    std::vector<int> nodes;
    std::vector<Tensor> pieces;
    for (const auto& share : random_shares(random, cuts, 1 + round % 5)) {
      std::vector<int> own;
      std::vector<Tensor> own_x;
      std::vector<Tensor> own_pieces;
      for (const auto& [begin, end] : share) {
        const auto cover = tree.cover(begin, end);
        own_pieces.push_back(
            backend->matmul(x.slice(1, begin, end), w.slice(1, begin, end), {tree, cover}));
        own.insert(own.end(), cover.begin(), cover.end());
      }
      nodes.insert(nodes.end(), own.begin(), own.end());
      pieces.insert(pieces.end(), own_pieces.begin(), own_pieces.end());
    }
    EXPECT_TRUE(same_bits(backend->finish_sums(concatenate(pieces, 0), {tree, nodes}), whole))
        << "round " << round;
    if (!same_bits(backend->matmul(x, w, SumTree::whole(tree.extent())), whole))
      ++differ_from_one_segment;
  }
  // The order of summation shows in the bits at all.
  EXPECT_GT(differ_from_one_segment, 10);
}

TEST(SumTree, FinishesMoreElementsThanABlock) {
  const auto backend = make_backend("cpu", {.threads = 3});
  const int64_t cuts[] = {0, 1, 2, 3};
  const SumTree tree(cuts);
  const std::vector<int> leaves = [&] {
    std::vector<int> nodes;
    for (int64_t i = 0; i < 3; ++i) nodes.push_back(tree.cover(i, i + 1).front());
    return nodes;
  }();
  const Tensor pieces = random_weight(4, {3, 7, 501});
  const Tensor y = backend->finish_sums(pieces, {tree, leaves});
  ASSERT_EQ(y.shape(), (Shape{7, 501}));
  const bool left_first = tree.node(tree.node(0).left).end == 2;
  const auto p = pieces.data<float>();
  for (size_t i = 0; i < 7 * 501; ++i) {
    const float a = p[i], b = p[i + 7 * 501], c = p[i + 2 * 7 * 501];
    ASSERT_EQ(y.data<float>()[i], left_first ? (a + b) + c : a + (b + c)) << i;
  }
}

}  // namespace
}  // namespace strake
