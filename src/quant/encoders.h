// The encoders of whole weights. `weight` is floating [..., out, in], `parts` has the shapes and
// dtypes of the format.
#pragma once

#include "quant/encode_mlx.h"

namespace strake {

void quantize_mlx(const Tensor& weight, Format format, ExponentRule rule, QuantizedParts& parts);
void quantize_least_error(const Tensor& weight, Format format, QuantizedParts& parts);

}  // namespace strake
