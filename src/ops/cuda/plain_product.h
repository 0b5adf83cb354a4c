// Products of any floating types from row-major weights, without tensor cores: for dense weights of
// float32 and float16, which are few.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "ops/cuda/few_rows_parameters.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

struct PlainProduct {
  const void* x;  // [x_rows, K]
  DType x_dtype;
  const void* w;  // [matrices, outputs, K]
  DType w_dtype;
  int64_t outputs;
  Leaves leaves;  // of K
  LeafSteps steps;
  int64_t rows;                     // of the result
  const int32_t* matrix = nullptr;  // [rows], in device memory; null: the first
  const int32_t* source = nullptr;  // [rows]: the row of x; null: its own
  float* out;                       // [nodes, rows, outputs]
};

void plain_product(const PlainProduct& product, cudaStream_t stream);

}  // namespace strake::cuda
