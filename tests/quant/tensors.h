// Small tensors, written down.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "strake/quant/quantize.h"

namespace strake {

template <class T = float>
Tensor tensor_of(const std::vector<float>& values, Shape shape) {
  std::vector<T> converted;
  for (const float value : values) converted.push_back(from_float<T>(value));
  return Tensor::from(std::span<const T>(converted), std::move(shape));
}

template <class T>
Tensor integers(const std::vector<T>& values, Shape shape) {
  return Tensor::from(std::span<const T>(values), std::move(shape));
}

inline std::vector<float> floats(const Tensor& tensor) {
  const Tensor values = tensor.to(DType::kF32);
  const auto data = values.data<float>();
  return {data.begin(), data.end()};
}

// [rows, columns] of numbers between -2 and 2, a power of two a row.
inline Tensor random_weight(uint64_t seed, Shape shape) {
  std::vector<float> values;
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (int64_t i = 0; i < shape.elements(); ++i) {
    int64_t sum = 0;
    for (int j = 0; j < 4; ++j) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      sum += static_cast<int64_t>(state >> 48);
    }
    const auto exponent = static_cast<float>(1 << (i / shape[-1] % 4));
    values.push_back(static_cast<float>(sum - 2 * 65535) * 0x1p-16f / exponent);
  }
  return tensor_of(values, std::move(shape));
}

}  // namespace strake
