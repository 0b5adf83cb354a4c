#include "ops/cpu/sum_schedule.h"

#include <algorithm>

namespace strake::cpu {
namespace {

// Steps of one node, its sum left on the stack, where `below` sums lie under it.
void push_node(const SumTree& tree, int index, int below, SumSchedule& schedule) {
  const SumTree::Node& node = tree.node(index);
  schedule.depth = std::max(schedule.depth, below + 1);
  if (node.left < 0) {
    schedule.steps.push_back({SumSchedule::Start::kPush, node.end - node.begin, 0, -1});
    return;
  }
  push_node(tree, node.left, below, schedule);
  push_node(tree, node.right, below + 1, schedule);
  ++schedule.steps.back().merges;
}

using Steps = std::vector<SumSchedule::Step>;

Steps cut_at_chunks(const Steps& steps) {
  Steps cut;
  int64_t room = SumSchedule::kChunk;
  for (SumSchedule::Step step : steps) {
    while (step.inputs > room) {
      cut.push_back({step.start, room, 0, -1});
      step.start = SumSchedule::Start::kGoOn;
      step.inputs -= room;
      room = SumSchedule::kChunk;
    }
    cut.push_back(step);
    room -= step.inputs;
    if (room == 0) room = SumSchedule::kChunk;
  }
  return cut;
}

}  // namespace

SumSchedule::SumSchedule(const PartialSums& sums) {
  unit = 64;
  for (const SumTree::Node& node : sums.tree.nodes())
    while (node.begin % unit != 0 || node.end % unit != 0) unit /= 2;
  for (size_t i = 0; i < sums.nodes.size(); ++i) {
    push_node(sums.tree, sums.nodes[i], 0, *this);
    steps.back().node = static_cast<int>(i);
  }
  steps = cut_at_chunks(steps);
}

}  // namespace strake::cpu
