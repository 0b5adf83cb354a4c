// Rows of a weight as float32, whatever its storage.
#pragma once

#include <cstdint>
#include <functional>

#include "strake/quant/weight.h"
#include "strake/tensor/tensor.h"

namespace strake::cpu {

// Calls visitor(T()) for the C++ type of a floating dtype.
template <class Visitor>
decltype(auto) visit_floating(DType dtype, Visitor&& visitor) {
  if (dtype == DType::kF16) return visitor(F16());
  if (dtype == DType::kBF16) return visitor(Bf16());
  return visitor(float());
}

template <class T>
void widen_row(const T* from, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = to_float(from[i]);
}

// Writes all elements of one row of a [..., in] weight, rows counted over the leading axes.
using RowDecoder = std::function<void(int64_t row, float* out)>;
RowDecoder row_decoder(const Weight& weight);

// The elements of a floating tensor as float32.
void widen(const Tensor& tensor, float* out);

}  // namespace strake::cpu
