// How far a quantized weight is from the numbers that it was made of.
#pragma once

#include "strake/quant/quantize.h"

namespace strake {

struct QuantizationError {
  double mean_squared;  // of the differences
  double relative;      // mean_squared over the weight's mean square; 0 for a weight of zeros
};

// `matrix` has the shape of the floating `weight`. Values are compared as float32, sums are
// float64. Throws Error(kUsage) when the shapes differ.
QuantizationError quantization_error(const Tensor& weight, const QuantizedMatrix& matrix);

}  // namespace strake
