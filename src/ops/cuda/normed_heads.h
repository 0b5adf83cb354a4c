// What stands between a layer's first products and the next ones where heads are normed: each is
// short, and they do not wait for each other. See Backend::place_each.
#pragma once

#include <cuda_runtime.h>

#include "ops/cuda/heads.h"
#include "ops/cuda/norms.h"

namespace strake::cuda {

// Float32 heads, each a row of a norm, that then turn and go where their job says.
struct NormedHeads {
  HeadJob job;
  TokenRows rows = {};
  const CachedSequence* caches = nullptr;  // [sequences]
  // Without a weight, no norm; without a bias, rms_norm().
  NormWeight norm = {};
};

struct NormedHeadJobs {
  static constexpr int kMost = 8;
  NormedHeads jobs[kMost];
  int count = 0;
};

// Whether the kernel takes them: rows of whole 16 bytes that are not too wide.
bool can_place(const NormedHeads& heads);

// All at once, rounded to `dtype` before they turn and after. A head has the bits of rms_norm() or
// layer_norm() and place_heads().
void place_normed_heads(const NormedHeadJobs& jobs, DType dtype, cudaStream_t stream);

}  // namespace strake::cuda
