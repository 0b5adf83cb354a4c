#include "ops/cpu/sum_schedule.h"

#include <algorithm>

namespace strake::cpu {
namespace {

// Steps of one node, its sum left on the stack, where `below` sums lie under it.
void push_node(const SumTree& tree, int index, int below, SumSchedule& schedule) {
  const SumTree::Node& node = tree.node(index);
  schedule.depth = std::max(schedule.depth, below + 1);
  if (node.left < 0) {
    schedule.steps.push_back({node.end - node.begin, 0, -1});
    schedule.inputs += node.end - node.begin;
    return;
  }
  push_node(tree, node.left, below, schedule);
  push_node(tree, node.right, below + 1, schedule);
  ++schedule.steps.back().merges;
}

}  // namespace

void SumSchedule::assign_whole(int64_t extent) {
  steps.assign(1, {extent, 0, 0});
  inputs = extent;
  depth = 1;
  unit = 64;
  while (extent % unit != 0) unit /= 2;
}

void SumSchedule::assign(const PartialSums& sums) {
  steps.clear();
  inputs = 0;
  depth = 0;
  unit = 64;
  for (const SumTree::Node& node : sums.tree.nodes())
    while (node.begin % unit != 0 || node.end % unit != 0) unit /= 2;
  for (size_t i = 0; i < sums.nodes.size(); ++i) {
    push_node(sums.tree, sums.nodes[i], 0, *this);
    steps.back().node = static_cast<int>(i);
  }
}

}  // namespace strake::cpu
