// The order in which sums of nodes combine along a tree, as a list in a kernel's parameters.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace strake::cuda {

// Steps work on a stack of sums: one from 0 on pushes that piece, kMerge replaces the two on top
// by theirs. What is left at the end is the result.
struct SumSteps {
  static constexpr int kMost = 63;
  static constexpr int kDepth = 16;
  static constexpr int8_t kMerge = -1;
  int8_t count = 0;
  int8_t steps[kMost] = {};
};

// The sum of pieces that stand `stride` floats apart. `stack` [kDepth] floats, `step` apart, is
// the thread's own.
__device__ inline float combine(const SumSteps& steps, const float* pieces, int64_t stride,
                                float* stack, int step) {
  if (steps.count == 1) return pieces[steps.steps[0] * stride];
  int height = 0;
  for (int i = 0; i < steps.count; ++i) {
    if (steps.steps[i] != SumSteps::kMerge) {
      stack[height++ * step] = pieces[steps.steps[i] * stride];
      continue;
    }
    --height;
    stack[(height - 1) * step] += stack[height * step];
  }
  return stack[0];
}

}  // namespace strake::cuda
