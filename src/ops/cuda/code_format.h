// What codes mean, as kernels are told.
#pragma once

#include "strake/quant/format.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

// What the codes of a matrix mean; see Format.
struct CodeFormat {
  Mode mode;
  int bits;
  int group_size;
  DType scale_dtype;          // of affine's scales and biases
  float tensor_scale = 1.0f;  // of nvfp4
};

}  // namespace strake::cuda
