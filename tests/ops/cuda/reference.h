// Float64 products on the GPU, as what its kernels are compared with; themselves compared with the
// CPU's in reference_test.cpp.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace strake::cuda {

struct ReferenceProduct {
  const float* x;  // [rows, columns]
  const float* w;  // [outputs, columns]
  double* out;     // [rows, outputs]
  int rows;
  int outputs;
  int columns;
};

void reference_product(const ReferenceProduct& product, cudaStream_t stream);

}  // namespace strake::cuda
