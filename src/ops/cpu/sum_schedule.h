// The order of a sum tree's work, as a list.
#pragma once

#include <cstdint>
#include <vector>

#include "strake/ops/sum_tree.h"

namespace strake::cpu {

// Steps work on a stack of sums. Each pushes the sum of the next `inputs` inputs; then `merges`
// times replaces the two sums on top by theirs; then, where `node` is not -1, pops the result for
// that position of PartialSums::nodes.
struct SumSchedule {
  struct Step {
    int64_t inputs;
    int merges;
    int node;
  };

  std::vector<Step> steps;
  int64_t inputs = 0;  // of all steps
  int depth = 0;       // of the stack at most
  // Largest power of two, 64 at most, that divides all cuts of the tree: the same for every part.
  int64_t unit = 0;

  // Both replace what was there, in its memory.
  void assign(const PartialSums& sums);
  void assign_whole(int64_t extent);  // SumTree::whole()
};

// Where a product is in its schedule.
struct SumCursor {
  explicit SumCursor(const SumSchedule& schedule)
      : step(schedule.steps.data()), end(step + schedule.steps.size()), left(step->inputs) {}

  // Goes to the next step; false when there is none.
  bool next() {
    if (++step == end) return false;
    left = step->inputs;
    return true;
  }

  const SumSchedule::Step* step;
  const SumSchedule::Step* end;
  int64_t left;    // inputs of the step that are to come
  int height = 0;  // sums on the stack, below the one that the step adds to
};

}  // namespace strake::cpu
