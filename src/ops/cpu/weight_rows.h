// Rows of a weight as float32, whatever its storage.
#pragma once

#include <cstdint>
#include <functional>

#include "strake/quant/weight.h"
#include "strake/tensor/tensor.h"

namespace strake::cpu {

// Writes all elements of one row of a [..., in] weight, rows counted over the leading axes.
using RowDecoder = std::function<void(int64_t row, float* out)>;
RowDecoder row_decoder(const Weight& weight);

// The elements of a floating tensor as float32.
void widen(const Tensor& tensor, float* out);

}  // namespace strake::cpu
