#include "ops/cuda/leaf_steps.h"

#include "base/fail.h"

namespace strake::cuda {
namespace {

// Calls visitor(node) for the leaves below a node, from left to right, and then for the node.
template <class Visitor>
void visit_upwards(const SumTree& tree, int index, const Visitor& visitor) {
  const SumTree::Node& node = tree.node(index);
  if (node.left >= 0) {
    visit_upwards(tree, node.left, visitor);
    visit_upwards(tree, node.right, visitor);
  }
  visitor(node);
}

}  // namespace

Leaves leaves_of(const PartialSums& sums) {
  Leaves leaves;
  for (const int node : sums.nodes)
    visit_upwards(sums.tree, node, [&](const SumTree::Node& at) {
      if (at.left >= 0) return;
      if (leaves.count == kMaxLeaves)
        fail(ErrorKind::kInternal, "a product has more than {} leaves", kMaxLeaves);
      leaves.push(static_cast<int32_t>(at.end - at.begin));
    });
  return leaves;
}

LeafSteps steps_of(const PartialSums& sums) {
  LeafSteps steps;
  int leaf = -1;
  for (const int node : sums.nodes) {
    visit_upwards(sums.tree, node, [&](const SumTree::Node& at) {
      if (at.left >= 0) {
        ++steps.merges[leaf];
      } else {
        if (++leaf == kMaxLeaves)
          fail(ErrorKind::kInternal, "a product has more than {} leaves", kMaxLeaves);
        steps.node[leaf] = -1;
      }
    });
    steps.node[leaf] = steps.nodes++;
  }
  return steps;
}

}  // namespace strake::cuda
