// Products with dense weights as the checkpoint has them, of any floating types: for what the
// packed products leave out (float32, and types that differ). Simple rather than fast.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "ops/cuda/few_rows_parameters.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

struct DenseRowsCall {
  const void* weight;  // [outputs, inputs of the leaves], row-major
  DType weight_dtype;
  int outputs;
  Leaves leaves;
  LeafSteps steps;
  const void* x;  // [rows, x_stride]
  DType x_dtype;
  int64_t x_stride;
  int rows;
  float* out;  // [nodes, rows, outputs]
};

// An element's bits do not depend on how many rows or outputs are computed with it.
void dense_rows(const DenseRowsCall& call, cudaStream_t stream);

}  // namespace strake::cuda
