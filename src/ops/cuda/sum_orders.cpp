#include "ops/cuda/sum_orders.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/fail.h"
#include "ops/cuda/weight_layout.h"

namespace strake::cuda {
namespace {

// Fewer inputs than this are not worth a leaf of their own.
constexpr int64_t kLeastLeaf = 256;

void require(bool fits, int most) {
  if (!fits)
    fail(ErrorKind::kUnsupported, "cuda: a sum of at most {} parts expected, found more", most);
}

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
