// Sums over a group, in one fixed order that vectorizes.
#pragma once

#include <array>
#include <cstddef>

namespace strake {

// N is a power of two.
template <class T, size_t N>
T pairwise_sum(std::array<T, N> terms) {
  for (size_t half = N / 2; half > 0; half /= 2)
    for (size_t i = 0; i < half; ++i) terms[i] += terms[i + half];
  return terms[0];
}

// Sum of squared differences, in float64.
template <size_t N>
double squared_error(const std::array<float, N>& values, const std::array<float, N>& decoded) {
  std::array<double, N> squares;
  for (size_t i = 0; i < N; ++i) {
    const double difference = static_cast<double>(decoded[i]) - static_cast<double>(values[i]);
    squares[i] = difference * difference;
  }
  return pairwise_sum(squares);
}

}  // namespace strake
