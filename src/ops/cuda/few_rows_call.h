// A product with few rows, from tensors of the host. Host only.
#pragma once

#include "ops/cuda/few_rows.h"
#include "ops/cuda/gpu_weight.h"
#include "ops/cuda/leaf_steps.h"
#include "strake/tensor/tensor.h"

namespace strake::cuda {

// Of x [rows, K] and the first matrix, or a stack, along `order`. Where its results go, and which
// rows multiply which of a stack, is still to be told.
inline FewRowsCall few_rows_call(const Tensor& x, const GpuWeight& w, const PartialSums& order) {
  return {.weight = w.packed(),
          .x = x.bytes().data(),
          .x_dtype = x.dtype(),
          .x_stride = x.shape()[1],
          .x_rows = static_cast<int>(x.shape()[0]),
          .steps = steps_of(order),
          .out = nullptr};
}

}  // namespace strake::cuda
