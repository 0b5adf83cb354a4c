// Number formats of elements and scales: one small struct each, with a constexpr decode.
// Sources: OCP Microscaling Formats 1.0 (e2m1, e4m3, e8m0); MLX for what it leaves open.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

#include "strake/base/half.h"

namespace strake {

// Unsigned integer of Bits bits: affine's code.
template <int Bits>
struct UInt {
  static constexpr int kBits = Bits;
  static constexpr int kMax = (1 << Bits) - 1;
  static constexpr float decode(uint32_t code) { return static_cast<float>(code); }
};

// Sign, 2 exponent bits, 1 mantissa bit; no infinity, no NaN.
struct E2M1 {
  static constexpr int kBits = 4;
  static constexpr float kMax = 6.0f;
  static constexpr std::array<float, 16> kTable = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,
                                                   4.0f,  6.0f,  -0.0f, -0.5f, -1.0f, -1.5f,
                                                   -2.0f, -3.0f, -4.0f, -6.0f};
  static constexpr float decode(uint32_t code) { return kTable[code]; }
};

// Sign, 4 exponent bits (bias 7), 3 mantissa bits; no infinity. The OCP's NaN codes 0x7f and 0xff
// decode to +-480, as MLX's CPU and Metal backends have it.
struct E4M3 {
  static constexpr int kBits = 8;
  static constexpr float kMax = 448.0f;
  static constexpr float decode(uint32_t code) {
    const uint32_t sign = (code & 0x80u) << 24;
    const uint32_t exponent = (code >> 3) & 0xfu;
    const uint32_t mantissa = code & 0x7u;
    if (exponent == 0) {
      const float magnitude = static_cast<float>(mantissa) * 0x1p-9f;
      return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
    }
    return std::bit_cast<float>(sign | ((exponent + 120u) << 23) | (mantissa << 20));
  }

  // Round to nearest even; beyond the range saturates; NaN becomes the largest of its sign.
  static constexpr uint8_t encode(float value) {
    const auto bits = std::bit_cast<uint32_t>(value);
    const auto sign = static_cast<uint8_t>((bits >> 24) & 0x80u);
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude >= 0x43e00000u) return sign | 0x7eu;  // 448 and above, infinity, NaN
    if (magnitude < 0x3c800000u) {  // below 2^-6: multiples of 2^-9; the sum rounds to them
      const float aligned = std::bit_cast<float>(magnitude) + 0x1p14f;
      return sign | static_cast<uint8_t>(std::bit_cast<uint32_t>(aligned) - 0x46800000u);
    }
    const uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
    return sign | static_cast<uint8_t>((rounded >> 20) - (120u << 3));
  }
};

// A power of two: byte e is 2^(e-127). Byte 0 is 2^-127; byte 255, the OCP's NaN, is +infinity,
// as in MLX.
struct E8M0 {
  static constexpr float decode(uint8_t byte) {
    return byte == 0 ? 0x1p-127f : std::bit_cast<float>(static_cast<uint32_t>(byte) << 23);
  }
};

// nvfp4's scale: an e4m3 byte, sign included.
struct E4M3Scale {
  static constexpr float decode(uint8_t byte) { return E4M3::decode(byte); }
};

// affine's scale and bias: floating numbers of the weight's own dtype.
struct FloatScale {};

}  // namespace strake
