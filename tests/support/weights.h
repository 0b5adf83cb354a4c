// Weights of every kind, and what their products must be.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "quant/tensors.h"
#include "strake/quant/weight.h"

namespace strake {

// A format, or the dtype of a dense weight.
struct WeightKind {
  std::string name;
  std::optional<Format> format;
  DType dtype = DType::kF32;

  int64_t group() const { return format ? format->group_size() : 32; }
  Weight make(uint64_t seed, Shape shape) const {
    const Tensor values = random_weight(seed, std::move(shape));
    if (format) return quantize(values, *format, Encoder::kMlx);
    return values.to(dtype);
  }
};

inline std::vector<WeightKind> all_weight_kinds() {
  std::vector<WeightKind> kinds;
  for (const Format format : Format::all()) kinds.push_back({format.to_string(), format});
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16})
    kinds.push_back({std::string(to_string(dtype)), std::nullopt, dtype});
  return kinds;
}

// The weight's elements as float32.
inline Tensor values_of(const Weight& w) {
  return w.dense() != nullptr ? w.dense()->to(DType::kF32)
                              : dequantize(*w.quantized(), DType::kF32);
}

// y [rows, out] is x w^T within the rounding of float32 sums of `in` terms, whatever their order.
inline void expect_product(const Tensor& y, const Tensor& x, const Tensor& w) {
  const int64_t rows = x.shape()[0], in = x.shape()[1], out = w.shape()[0];
  ASSERT_EQ(y.shape(), (Shape{rows, out}));
  const auto a = floats(x), b = floats(w), found = floats(y);
  for (int64_t m = 0; m < rows; ++m)
    for (int64_t n = 0; n < out; ++n) {
      double sum = 0, magnitude = 0;
      for (int64_t k = 0; k < in; ++k) {
        const double term =
            double{a[static_cast<size_t>(m * in + k)]} * double{b[static_cast<size_t>(n * in + k)]};
        sum += term;
        magnitude += std::abs(term);
      }
      const double bound = static_cast<double>(in + 14) * 0x1p-24 * magnitude;
      ASSERT_NEAR(found[static_cast<size_t>(m * out + n)], sum, bound) << m << ", " << n;
    }
}

}  // namespace strake
