// The inputs of scripts/goldens/quantize.py, made by the same rules, and its digest.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "strake/tensor/tensor.h"

namespace strake::golden {

inline constexpr uint64_t kGolden = 0x9E3779B97F4A7C15u;
inline constexpr int64_t kRows = 24;
inline constexpr int64_t kColumns = 384;
inline constexpr std::array<std::string_view, 10> kKinds = {
    "bell",   "positive", "negative", "outliers", "ties",
    "narrow", "sparse",   "finite",   "any",      "amax"};

// splitmix64's finalizer.
constexpr uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

constexpr uint64_t random_u64(uint64_t seed, uint64_t index) {
  return mix((index + (seed << 32)) * kGolden);
}

// Sum over the elements' bits; every NaN of a floating dtype counts as one.
inline uint64_t bits_of(uint8_t value) { return value; }
inline uint64_t bits_of(uint32_t value) { return value; }
inline uint64_t bits_of(float value) {
  return std::isnan(value) ? 0x7fc00000u : std::bit_cast<uint32_t>(value);
}
inline uint64_t bits_of(F16 value) { return std::isnan(to_float(value)) ? 0x7e00u : value.bits; }
inline uint64_t bits_of(Bf16 value) { return std::isnan(to_float(value)) ? 0x7fc0u : value.bits; }

template <class T>
uint64_t digest(std::span<const T> values) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < values.size(); ++i) sum += mix(bits_of(values[i]) + i * kGolden);
  return sum;
}

inline uint64_t digest(const Tensor& tensor) {
  if (tensor.dtype() == DType::kF32) return digest(tensor.data<float>());
  if (tensor.dtype() == DType::kF16) return digest(tensor.data<F16>());
  if (tensor.dtype() == DType::kBF16) return digest(tensor.data<Bf16>());
  if (tensor.dtype() == DType::kU8) return digest(tensor.data<uint8_t>());
  return digest(tensor.data<uint32_t>());
}

template <class T>
struct Traits;
template <>
struct Traits<float> {
  static constexpr std::string_view kName = "f32";
  static constexpr uint64_t kIndex = 0;
  static constexpr int kMantissaBits = 23, kLeast = -120, kLargest = 100;
};
template <>
struct Traits<F16> {
  static constexpr std::string_view kName = "f16";
  static constexpr uint64_t kIndex = 1;
  static constexpr int kMantissaBits = 10, kLeast = -12, kLargest = 8;
};
template <>
struct Traits<Bf16> {
  static constexpr std::string_view kName = "bf16";
  static constexpr uint64_t kIndex = 2;
  static constexpr int kMantissaBits = 7, kLeast = -120, kLargest = 100;
};

constexpr int64_t field(uint64_t raw, int index) {
  return static_cast<int64_t>((raw >> (16 * index)) & 0xffffu);
}

// Bit patterns: groups of 32 share an exponent, give or take; "any" has NaN and infinity.
template <class T>
T pattern(uint64_t seed, uint64_t index, bool any) {
  constexpr int kWidth = 8 * sizeof(T);
  constexpr int kMantissa = Traits<T>::kMantissaBits;
  constexpr int64_t kAllOnes = (int64_t{1} << (kWidth - 1 - kMantissa)) - 1;
  const uint64_t raw = random_u64(seed, index);
  const int64_t leader = field(random_u64(seed, index / 32 * 32), 3);
  int64_t exponent = std::max<int64_t>(leader % kAllOnes - field(raw, 2) % 4, 0);
  int64_t rest =
      static_cast<int64_t>(raw & ((uint64_t{1} << kWidth) - 1)) & ~(kAllOnes << kMantissa);
  if (any && field(raw, 3) % 97 == 0) {
    exponent = kAllOnes;
    if (field(raw, 2) % 2 == 0) rest = rest >> kMantissa << kMantissa;
  }
  using Bits = std::conditional_t<kWidth == 32, uint32_t, uint16_t>;
  return std::bit_cast<T>(static_cast<Bits>(rest | (exponent << kMantissa)));
}

inline double value_of_kind(std::string_view kind, uint64_t raw, int64_t row, int64_t column) {
  const int64_t sum = field(raw, 0) + field(raw, 1) + field(raw, 2) + field(raw, 3);
  const double bell = static_cast<double>(sum - 2 * 65535) * 0x1p-16;
  const int64_t first = field(raw, 0);
  if (kind == "positive") return std::fabs(bell) + 0.0625;
  if (kind == "negative") return -std::fabs(bell) - 1;
  if (kind == "outliers") return first % 32 == 0 ? bell * 64 : bell;
  if (kind == "ties") return static_cast<double>(first % 65 - 32) * 0.25;
  if (kind == "narrow")
    return (row % 2 == 0 ? 1 : -1) * (1 + static_cast<double>(first % 5) * 0x1p-20);
  if (kind == "sparse") return first % 40 == 0 && column % 128 >= 32 ? bell : 0.0;
  return bell;
}

// A [kRows, kColumns] weight.
template <class T>
Tensor inputs(size_t kind_index) {
  const std::string_view kind = kKinds[kind_index];
  const uint64_t seed = kind_index + 16 * Traits<T>::kIndex + 1;
  std::vector<T> values;
  for (int64_t i = 0; i < kRows * kColumns; ++i) {
    const auto index = static_cast<uint64_t>(i);
    if (kind == "finite" || kind == "any") {
      values.push_back(pattern<T>(seed, index, kind == "any"));
      continue;
    }
    const int64_t row = i / kColumns;
    const int64_t spread =
        Traits<T>::kLeast + (Traits<T>::kLargest - Traits<T>::kLeast) * (row - 8) / (kRows - 9);
    const double value = value_of_kind(kind, random_u64(seed, index), row, i % kColumns);
    const double scaled = std::ldexp(value, static_cast<int>(row < 8 ? row - 4 : spread));
    values.push_back(from_float<T>(static_cast<float>(scaled)));
  }
  return Tensor::from(std::span<const T>(values), {kRows, kColumns});
}

}  // namespace strake::golden
