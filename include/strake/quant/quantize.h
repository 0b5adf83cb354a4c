// Between floating tensors and quantized matrices.
#pragma once

#include <optional>

#include "strake/quant/quantized_matrix.h"

namespace strake {

enum class Encoder {
  kLeastError,  // each group's scale by least squared error; never worse than either of MLX's
  kMlx,         // bit for bit what MLX 0.32.1's CPU build gives
  kMlxCeil,     // bit for bit what MLX 0.32.2's and later CPU builds give
};

// Quantizes a floating [..., out, in] along `in`, 2 or 3 axes; rows do not depend on each other.
// `tensor_amax` (nvfp4 only) is the tensor's largest magnitude: group scales are then relative to
// it. Throws Error(kUsage): dtype, axes, `in` not whole groups; with kLeastError also the row and
// column of a NaN or infinity.
QuantizedMatrix quantize(const Tensor& weight, Format format, Encoder encoder,
                         std::optional<float> tensor_amax = std::nullopt);

// The values that the codes stand for, each computed in float32 and rounded once to `dtype`.
Tensor dequantize(const QuantizedMatrix& matrix, DType dtype);

}  // namespace strake
