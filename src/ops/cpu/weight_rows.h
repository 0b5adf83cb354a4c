// Floating elements as float32, whatever their storage.
#pragma once

#include <cstdint>

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

// The elements of a floating tensor as float32.
void widen(const Tensor& tensor, float* out);

}  // namespace strake::cpu
