// The choices of MLX's CPU backend, bit for bit. They follow from its computing in the weight's
// dtype T, edge cases included.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "quant/encode.h"

namespace strake {

// How an e8m0 exponent comes from the ratio of the group's largest magnitude to the element's.
enum class ExponentRule {
  kNearest,  // log2 rounded to T, then to the nearest integer (MLX 0.32.1)
  kCeiling,  // the smallest power of two that is not below the ratio (MLX 0.32.2 and later)
};

// The element whose value is the first nearest in the order of the codes: ties go toward zero, and
// code 8, -0, never appears.
inline uint8_t nearest_e2m1(float value) {
  const float magnitude = std::fabs(value);
  if (magnitude < 256.0f) {
    const int index = (magnitude > 0.25f) + (magnitude > 0.75f) + (magnitude > 1.25f) +
                      (magnitude > 1.75f) + (magnitude > 2.5f) + (magnitude > 3.5f) +
                      (magnitude > 5.0f);
    return static_cast<uint8_t>(index | (value < 0.0f && index > 0 ? 8 : 0));
  }
  // Distances are float32: large ones tie, infinite and NaN ones are never below another.
  uint8_t best = 0;
  float least = magnitude;
  for (uint8_t code = 1; code < 16; ++code) {
    const float distance = std::fabs(value - E2M1::decode(code));
    if (distance < least) {
      least = distance;
      best = code;
    }
  }
  return best;
}

template <class Element>
uint8_t nearest_element(float value) {
  if constexpr (std::is_same_v<Element, E2M1>)
    return nearest_e2m1(value);
  else
    return E4M3::encode(value);
}

// Affine, in float32 throughout; only the stored scale and bias are rounded to T.
template <class Spec, class T>
EncodedGroup<Spec> encode_mlx_affine(const GroupValues<Spec>& values) {
  constexpr auto kMax = static_cast<float>(Spec::Element::kMax);
  constexpr float kLeastScale = 1e-7f;
  float low = std::numeric_limits<float>::infinity();
  float high = -low;
  for (const float value : values) {
    low = value < low ? value : low;
    high = value > high ? value : high;
  }
  const bool from_low = std::fabs(low) > std::fabs(high);
  const float edge = from_low ? low : high;
  float scale = std::max((high - low) / kMax, kLeastScale);
  if (!from_low) scale = -scale;
  float bias = 0.0f;
  if (const float steps = std::rint(edge / scale); steps != 0.0f) {
    scale = edge / steps;
    bias = edge;
  }
  EncodedGroup<Spec> group;
  for (size_t i = 0; i < values.size(); ++i)
    group.codes[i] = static_cast<uint8_t>(round_and_clamp((values[i] - bias) / scale, kMax));
  group.scale = {round_to<T>(scale), round_to<T>(bias)};
  return group;
}

// A group with NaN or infinity: MLX converts the exponent to an integer, which is undefined, and
// divides by 2^that = 0. This is what x86 makes of it.
template <class Spec, class T>
EncodedGroup<Spec> encode_mlx_nonfinite(const GroupValues<Spec>& values) {
  constexpr bool kPositiveNan = std::is_same_v<T, Bf16>;
  EncodedGroup<Spec> group{std::is_same_v<T, float> ? uint8_t{128} : uint8_t{0}, {}};
  if constexpr (std::is_same_v<typename Spec::Element, E2M1>) return group;
  for (size_t i = 0; i < values.size(); ++i) {
    const bool nan = std::isnan(values[i]);
    const bool negative = nan && kPositiveNan ? false
                          : values[i] == 0.0f ? !kPositiveNan  // 0 / 0 has its sign bit set
                                              : std::signbit(values[i]);
    group.codes[i] = negative ? 0xfe : 0x7e;
  }
  return group;
}

template <class T>
int mlx_exponent(float ratio, ExponentRule rule) {
  if (ratio == 0.0f) return 0;
  if (rule == ExponentRule::kNearest)
    return static_cast<int>(std::rint(round_to<T>(std::log2(ratio))));
  int exponent;
  const float fraction = std::frexp(ratio, &exponent);  // in [0.5, 1)
  return fraction == 0.5f ? exponent - 1 : exponent;
}

template <class Spec, class T>
EncodedGroup<Spec> encode_mlx_e8m0(const GroupValues<Spec>& values, ExponentRule rule) {
  const float largest = largest_magnitude(values);
  if (!std::isfinite(largest)) return encode_mlx_nonfinite<Spec, T>(values);
  const int exponent = mlx_exponent<T>(round_to<T>(largest / Spec::Element::kMax), rule);
  const double inverse = std::ldexp(1.0, -exponent);
  EncodedGroup<Spec> group;
  group.scale = static_cast<uint8_t>(exponent + 127);  // wraps
  for (size_t i = 0; i < values.size(); ++i)
    group.codes[i] =
        nearest_element<typename Spec::Element>(static_cast<float>(values[i] * inverse));
  return group;
}

// `factor` makes group scales relative to the tensor's: 2688 / its largest magnitude, or 1.
template <class Spec, class T>
EncodedGroup<Spec> encode_mlx_e4m3(const GroupValues<Spec>& values, float factor) {
  const float ratio = round_to<T>(largest_magnitude(values) / Spec::Element::kMax);
  EncodedGroup<Spec> group;
  group.scale = E4M3::encode(ratio * factor);
  const float scale = Spec::Scale::decode(group.scale);
  for (size_t i = 0; i < values.size(); ++i)
    group.codes[i] =
        nearest_element<typename Spec::Element>(round_to<T>(values[i] / scale) * factor);
  return group;
}

template <class Spec, class T>
EncodedGroup<Spec> encode_mlx(const GroupValues<Spec>& values, ExponentRule rule, float factor) {
  using Scale = typename Spec::Scale;
  if constexpr (std::is_same_v<Scale, FloatScale>) return encode_mlx_affine<Spec, T>(values);
  if constexpr (std::is_same_v<Scale, E8M0>) return encode_mlx_e8m0<Spec, T>(values, rule);
  if constexpr (std::is_same_v<Scale, E4M3Scale>) return encode_mlx_e4m3<Spec, T>(values, factor);
}

}  // namespace strake
