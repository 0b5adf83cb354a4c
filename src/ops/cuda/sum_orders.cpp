#include "ops/cuda/sum_orders.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/fail.h"

namespace strake::cuda {
namespace {

// Fewer inputs than this are not worth a leaf of their own.
constexpr int64_t kLeastLeaf = 256;

// Calls leaf(node) for the leaves of a subtree in order, and merge() after the two parts of each
// inner node.
template <class Leaf, class Merge>
void walk(const SumTree& tree, int index, const Leaf& leaf, const Merge& merge) {
  const SumTree::Node& node = tree.node(index);
  if (node.left < 0) return leaf(node);
  walk(tree, node.left, leaf, merge);
  walk(tree, node.right, leaf, merge);
  merge();
}

void require(bool fits, int most) {
  if (!fits)
    fail(ErrorKind::kUnsupported, "cuda: a sum of at most {} parts expected, found more", most);
}

}  // namespace

Leaves leaves_of(const PartialSums& sums) {
  Leaves leaves;
  for (const int node : sums.nodes)
    walk(
        sums.tree, node,
        [&](const SumTree::Node& leaf) {
          require(leaves.count < kMaxLeaves, kMaxLeaves);
          leaves.push(static_cast<int32_t>(leaf.end - leaf.begin));
        },
        [] {});
  return leaves;
}

LeafSteps leaf_steps(const PartialSums& sums) {
  LeafSteps steps;
  std::fill(std::begin(steps.node), std::end(steps.node), int8_t{-1});
  int leaves = 0;
  for (const int node : sums.nodes) {
    walk(
        sums.tree, node,
        [&](const SumTree::Node&) {
          require(leaves < kMaxLeaves, kMaxLeaves);
          ++leaves;
        },
        [&] { ++steps.merges[leaves - 1]; });
    steps.node[leaves - 1] = steps.nodes++;
  }
  return steps;
}

namespace {

void add_root_steps(const PartialSums& sums, int index, SumSteps& steps) {
  const auto push = [&](int step) {
    require(steps.count < SumSteps::kMost, SumSteps::kMost);
    steps.steps[steps.count++] = static_cast<int8_t>(step);
  };
  const auto found = std::ranges::find(sums.nodes, index);
  if (found != sums.nodes.end()) return push(static_cast<int>(found - sums.nodes.begin()));
  const SumTree::Node& node = sums.tree.node(index);
  if (node.left < 0) fail(ErrorKind::kInternal, "cuda: the pieces of a sum do not cover it");
  add_root_steps(sums, node.left, steps);
  add_root_steps(sums, node.right, steps);
  push(SumSteps::kMerge);
}

}  // namespace

SumSteps root_steps(const PartialSums& sums) {
  SumSteps steps;
  add_root_steps(sums, 0, steps);
  return steps;
}

SumTree parallel_tree(int64_t extent, int64_t unit) {
  const int64_t whole = std::lcm(unit, int64_t{kTileInputs});
  const int64_t units = (extent + whole - 1) / whole;
  const int64_t parts =
      std::clamp<int64_t>(extent / kLeastLeaf, 1, std::min<int64_t>(kMaxLeaves, units));
  std::vector<int64_t> cuts;
  for (int64_t part = 0; part <= parts; ++part)
    cuts.push_back(std::min(extent, units * part / parts * whole));
  return SumTree(cuts);
}

}  // namespace strake::cuda
