// Activations that bfloat16 cannot hold, as sums of several that it can.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "strake/tensor/dtype.h"

namespace strake::cuda {

// How many bfloat16 numbers one of the dtype is exactly the sum of: 8 bits of mantissa each. (But
// for float32 numbers below 2^-110, whose last bits are lost.)
constexpr int parts_of(DType dtype) {
  return dtype == DType::kF32 ? 3 : dtype == DType::kF16 ? 2 : 1;
}

// x [elements] -> bfloat16 [parts, elements].
void split_parts(const void* x, DType dtype, int64_t elements, void* out, cudaStream_t stream);

// sums float32 [nodes, parts, elements] -> [nodes, elements], added from the first part on.
struct PartSums {
  const float* sums;
  float* out;
  int64_t nodes;
  int parts;
  int64_t elements;
};
void merge_parts(const PartSums& sums, cudaStream_t stream);

}  // namespace strake::cuda
