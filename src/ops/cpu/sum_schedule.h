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

  // Replaces what was there, in its memory.
  void assign(const PartialSums& sums);
};

}  // namespace strake::cpu
