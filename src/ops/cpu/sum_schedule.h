// The order of a sum tree's work, as a list.
#pragma once

#include <cstdint>
#include <vector>

#include "strake/ops/backend.h"

namespace strake::cpu {

// Steps work on a stack of sums. Each pushes a sum, or goes on with the one on top, and adds the
// next `inputs` inputs to it; then `merges` times replaces the two sums on top by theirs; then,
// where `node` is not -1, pops the result for that position of PartialSums::nodes.
struct SumSchedule {
  enum class Start { kPush, kGoOn };
  struct Step {
    Start start;
    int64_t inputs;
    int merges;
    int node;
  };
  // No step crosses a multiple of this many inputs: what kernels unpack at once.
  static constexpr int64_t kChunk = 8192;

  std::vector<Step> steps;
  int depth = 0;  // of the stack at most
  // Largest power of two, 64 at most, that divides all cuts of the tree: the same for every part.
  int64_t unit = 0;

  explicit SumSchedule(const PartialSums& sums);
};

}  // namespace strake::cpu
