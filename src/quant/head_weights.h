// Weights with a matrix for each attention head.
#pragma once

#include "strake/quant/weight.h"

namespace strake {

// A weight [heads * rows, in], whose heads stand one after the other, as [heads, rows, in]: the
// same bytes. Throws Error(kUsage) when it is not whole heads.
Weight stack_heads(const Weight& weight, int64_t rows);

// Each matrix of [heads, out, in] turned over, [heads, in, out], dense. A quantized one has its
// very values: in bfloat16, which holds those of mxfp4, mxfp8 and nvfp4, or else in float32.
Tensor transposed_values(const Weight& weight);

}  // namespace strake
