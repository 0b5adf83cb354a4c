// Errors and speeds of the encoders: bench_quantize
//
// A [1024, 2048] weight in bfloat16, normal with a standard deviation of 0.02. Errors are mean
// squared errors over the mean square of the weight; speeds are millions of weights a
// second of processor time.
#include <fmt/format.h>

#include <cmath>
#include <ctime>
#include <random>
#include <vector>

#include "quant/quantization_error.h"

namespace strake {
namespace {

constexpr int64_t kRows = 1024;
constexpr int64_t kColumns = 2048;

// Box and Muller's rule on numbers that every standard library draws alike.
Tensor normal_weight() {
  constexpr double kTwoPi = 6.283185307179586;
  std::mt19937_64 random;
  const auto uniform = [&] { return (static_cast<double>(random() >> 12) + 0.5) * 0x1p-52; };
  std::vector<float> values;
  for (int64_t i = 0; i < kRows * kColumns; ++i) {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    values.push_back(static_cast<float>(0.02 * radius * std::cos(kTwoPi * uniform())));
  }
  return Tensor::from(std::span<const float>(values), {kRows, kColumns}).to(DType::kBF16);
}

template <class Body>
double millions_a_second(const Body& body) {
  const std::clock_t start = std::clock();
  body();
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  return kRows * kColumns / 1e6 / seconds;
}

void run() {
  const Tensor weight = normal_weight();
  fmt::print("{:<30}{:>12}{:>13}{:>11}{:>9}{:>11}{:>14}\n", "format", "mlx 0.32.1", "mlx 0.32.2+",
             "default", "mlx/s", "default/s", "dequantize/s");
  for (const Format format : Format::all()) {
    const auto error = [&](Encoder encoder) {
      return quantization_error(weight, quantize(weight, format, encoder)).relative;
    };
    const auto speed = [&](Encoder encoder) {
      return millions_a_second([&] { quantize(weight, format, encoder); });
    };
    const QuantizedMatrix matrix = quantize(weight, format, Encoder::kMlx);
    fmt::print("{:<30}{:>12.3e}{:>13.3e}{:>11.3e}{:>9.0f}{:>11.0f}{:>14.0f}\n", format.to_string(),
               error(Encoder::kMlx), error(Encoder::kMlxCeil), error(Encoder::kLeastError),
               speed(Encoder::kMlx), speed(Encoder::kLeastError),
               millions_a_second([&] { dequantize(matrix, DType::kF32); }));
  }
}

}  // namespace
}  // namespace strake

int main() { strake::run(); }
