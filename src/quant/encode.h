// What an encoder makes of one group, and what all encoders share.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <type_traits>

#include "quant/decode.h"
#include "quant/format_list.h"

namespace strake {

template <class Spec>
using GroupValues = std::array<float, Spec::kGroupSize>;

template <class Spec>
struct EncodedGroup {
  // A byte of the scale format, or affine's scale and bias, both numbers of the weight's dtype.
  using StoredScale = std::conditional_t<Spec::kHasBiases, GroupScale, uint8_t>;

  StoredScale scale;
  std::array<uint8_t, Spec::kGroupSize> codes;
};

// float32 rounded to T, still as float32.
template <class T>
constexpr float round_to(float value) {
  return to_float(from_float<T>(value));
}

// Largest magnitude; NaN if there is one.
template <size_t N>
float largest_magnitude(const std::array<float, N>& values) {
  uint32_t largest = 0;  // magnitudes order as their bits do, NaN above all
  for (const float value : values)
    largest = std::max(largest, std::bit_cast<uint32_t>(value) & 0x7fffffffu);
  return std::bit_cast<float>(largest);
}

// Nearest integer to a number clamped to [0, max], ties to even; NaN gives 0. Adding 1.5 * 2^23
// leaves no bits for a fraction.
constexpr float round_and_clamp(float value, float max) {
  const float positive = value > 0.0f ? value : 0.0f;
  const float clamped = positive < max ? positive : max;
  return (clamped + 0x1.8p23f) - 0x1.8p23f;
}

// Encodes a weight [..., out, in] group by group. encode(values, group) gives an EncodedGroup;
// `group` counts in row-major order.
template <class Spec, class T, class Encode>
void encode_groups(const Tensor& weight, QuantizedParts& parts, const Encode& encode) {
  using Stored = std::conditional_t<Spec::kHasBiases, T, uint8_t>;
  const T* in = weight.data<T>().data();
  uint32_t* words = parts.codes.mutable_data<uint32_t>().data();
  Stored* scales = parts.scales.mutable_data<Stored>().data();
  Stored* biases = parts.biases ? parts.biases->template mutable_data<Stored>().data() : nullptr;
  const int64_t groups = parts.scales.elements();
  GroupValues<Spec> values;
  for (int64_t group = 0; group < groups; ++group) {
    for (float& value : values) value = to_float(*in++);
    const EncodedGroup<Spec> encoded = encode(values, group);
    pack_group<Spec>(encoded.codes.data(), words + group * Spec::kWordsPerGroup);
    if constexpr (Spec::kHasBiases) {
      scales[group] = from_float<T>(encoded.scale.scale);
      biases[group] = from_float<T>(encoded.scale.bias);
    } else {
      scales[group] = encoded.scale;
    }
  }
}

// Calls visitor(Spec(), T()) for a format and the floating dtype of a weight.
template <class Visitor>
void visit_encoding(Format format, DType dtype, const Visitor& visitor) {
  visit_format(format, [&](auto spec) {
    if (dtype == DType::kF32) visitor(spec, float());
    if (dtype == DType::kF16) visitor(spec, F16());
    if (dtype == DType::kBF16) visitor(spec, Bf16());
  });
}

}  // namespace strake
