// One group of elements to codes, with the choices of MLX (quant/encode_mlx.h has them and their
// reasons). For device code.
#pragma once

#include <cstdint>

#include "ops/cuda/cache.h"
#include "ops/cuda/codes.h"

namespace strake::cuda {

// The element whose value is the first nearest: ties go toward zero, -0 never appears.
__device__ inline uint32_t nearest_e2m1(float value) {
  const float magnitude = fabsf(value);
  const int index = (magnitude > 0.25f) + (magnitude > 0.75f) + (magnitude > 1.25f) +
                    (magnitude > 1.75f) + (magnitude > 2.5f) + (magnitude > 3.5f) +
                    (magnitude > 5.0f);
  return static_cast<uint32_t>(index | (value < 0.0f && index > 0 ? 8 : 0));
}

// Codes of a group, in the order that code(i) gives them, to whole words.
template <class Code>
__device__ inline void write_codes(uint32_t* words, int count, int bits, const Code& code) {
  uint64_t open = 0;
  int filled = 0;
  for (int i = 0; i < count; ++i) {
    open |= static_cast<uint64_t>(code(i)) << filled;
    filled += bits;
    if (filled < 32) continue;
    *words++ = static_cast<uint32_t>(open);
    open >>= 32;
    filled -= 32;
  }
}

template <class T>
__device__ void encode_affine(const T* from, const CodeFormat& format, uint32_t* words, T* scale_to,
                              T* bias_to) {
  const auto most = static_cast<float>((1 << format.bits) - 1);
  float low = to_float(from[0]), high = low;
  for (int i = 1; i < format.group_size; ++i) {
    const float value = to_float(from[i]);
    low = value < low ? value : low;
    high = value > high ? value : high;
  }
  const bool from_low = fabsf(low) > fabsf(high);
  const float edge = from_low ? low : high;
  float scale = fmaxf((high - low) / most, 1e-7f);
  if (!from_low) scale = -scale;
  float bias = 0.0f;
  if (const float steps = rintf(edge / scale); steps != 0.0f) {
    scale = edge / steps;
    bias = edge;
  }
  write_codes(words, format.group_size, format.bits, [&](int i) {
    const float code = rintf((to_float(from[i]) - bias) / scale);
    return static_cast<uint32_t>(code > 0.0f ? (code < most ? code : most) : 0.0f);
  });
  *scale_to = from_float<T>(scale);
  *bias_to = from_float<T>(bias);
}

template <class T>
__device__ void encode_powers(const T* from, const CodeFormat& format, float largest,
                              uint32_t* words, uint8_t* scale_to) {
  const bool four = format.mode == Mode::kMxfp4;
  const float ratio = rounded<T>(largest / (four ? E2M1::kMax : E4M3::kMax));
  const int exponent =
      ratio == 0.0f ? 0
                    : static_cast<int>(rintf(rounded<T>(static_cast<float>(log2(double{ratio})))));
  const double inverse = ldexp(1.0, -exponent);
  write_codes(words, format.group_size, format.bits, [&](int i) {
    const auto value = static_cast<float>(to_float(from[i]) * inverse);
    return four ? nearest_e2m1(value) : uint32_t{E4M3::encode(value)};
  });
  *scale_to = static_cast<uint8_t>(exponent + 127);
}

template <class T>
__device__ void encode_nv(const T* from, const CodeFormat& format, float largest, uint32_t* words,
                          uint8_t* scale_to) {
  const uint8_t byte = E4M3::encode(rounded<T>(largest / E2M1::kMax));
  const float scale = E4M3::decode(byte);
  write_codes(words, format.group_size, format.bits,
              [&](int i) { return nearest_e2m1(rounded<T>(to_float(from[i]) / scale)); });
  *scale_to = byte;
}

// Group `group` of the rows, counted over all of them. Numbers must be finite.
template <class T>
__device__ void encode_group(const T* from, const CodeFormat& format, const CachedRows& rows,
                             int64_t group) {
  uint32_t* const words =
      static_cast<uint32_t*>(rows.elements) + group * (format.group_size * format.bits / 32);
  if (format.mode == Mode::kAffine)
    return encode_affine(from, format, words, static_cast<T*>(rows.scales) + group,
                         static_cast<T*>(rows.biases) + group);
  float largest = 0;
  for (int i = 0; i < format.group_size; ++i) largest = fmaxf(largest, fabsf(to_float(from[i])));
  uint8_t* const scale = static_cast<uint8_t*>(rows.scales) + group;
  if (format.mode == Mode::kNvfp4) return encode_nv(from, format, largest, words, scale);
  encode_powers(from, format, largest, words, scale);
}

}  // namespace strake::cuda
