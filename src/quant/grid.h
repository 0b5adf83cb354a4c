// The numbers that elements can stand for under one scale, and the nearest of them to a value.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "quant/codecs.h"

namespace strake {

// Magnitudes decode exactly as GroupScale says; `scale` is positive. nearest() of a magnitude is
// the magnitude that code() of it stands for. Loops over nearest() vectorize.
template <class Element>
class Grid;

template <>
class Grid<E2M1> {
 public:
  explicit Grid(float scale) {
    for (size_t i = 0; i < 8; ++i) levels_[i] = E2M1::kTable[i] * scale;
    for (size_t i = 0; i < 7; ++i) {
      // Rounded down: a float32 is above the exact midpoint where it is above this.
      const double middle = (static_cast<double>(levels_[i]) + levels_[i + 1]) / 2;
      const auto rounded = static_cast<float>(middle);
      middles_[i] = rounded > middle ? std::nextafter(rounded, 0.0f) : rounded;
    }
  }

  float nearest(float magnitude) const {
    return [&]<size_t... I>(std::index_sequence<I...>) {
      float value = 0.0f;
      ((value = magnitude > middles_[I] ? levels_[I + 1] : value), ...);
      return value;
    }
    (std::make_index_sequence<7>());
  }

  // -0 is encoded as 0.
  uint8_t code(float value) const {
    int index = 0;
    for (const float middle : middles_) index += std::fabs(value) > middle;
    return static_cast<uint8_t>(value < 0.0f && index > 0 ? index | 8 : index);
  }

 private:
  std::array<float, 8> levels_;
  std::array<float, 7> middles_;
};

// The scale is a power of two.
template <>
class Grid<E4M3> {
 public:
  explicit Grid(float scale) : scale_(scale), inverse_(1.0 / scale) {}

  float nearest(float magnitude) const {
    const float scaled = to_units(magnitude);
    // Below 2^-6 multiples of 2^-9: what the sum's last place is. Above, 3 bits of mantissa.
    const float small = (scaled + 0x1p14f) - 0x1p14f;
    const auto bits = std::bit_cast<uint32_t>(scaled);
    const uint32_t rounded = (bits + 0x7ffffu + ((bits >> 20) & 1u)) & 0xfff00000u;
    const auto large = std::bit_cast<float>(rounded);
    const float unit = scaled < 0x1p-6f ? small : large;
    return (unit < E4M3::kMax ? unit : E4M3::kMax) * scale_;
  }

  uint8_t code(float value) const { return E4M3::encode(to_units(value)); }

 private:
  float to_units(float value) const { return static_cast<float>(value * inverse_); }

  float scale_;
  double inverse_;
};

}  // namespace strake
