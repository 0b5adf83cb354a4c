// GGUF's blocks as quantized matrices, without a detour through floating point.
#pragma once

#include <optional>
#include <string_view>

#include "io/gguf_type.h"
#include "strake/quant/quantized_matrix.h"

namespace strake {

// The format that holds every value of the type exactly: Q4_0 and Q4_1 affine 4 bits, Q8_0 affine
// 8 bits, MXFP4 mxfp4, all in groups of 32. Nothing for other types.
std::optional<Format> exact_format(GgufType type);

// The dtype of the scales (and biases) of such a matrix: float16, as in the file, but float32 where
// -8 or -128 times a scale exceeds float16; mxfp4's bytes.
DType exact_scale_dtype(GgufType type, const Tensor& blocks);

// The matrix [..., out, in] of a type that has an exact format. `name` stands in messages. Throws
// Error(kCheckpoint) for scales that are not finite.
QuantizedMatrix quantized_from_gguf(std::string_view name, GgufType type, const Tensor& blocks,
                                    const Shape& shape);

}  // namespace strake
