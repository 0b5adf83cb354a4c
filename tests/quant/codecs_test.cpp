#include "quant/codecs.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace strake {
namespace {

// The published layouts, by arithmetic instead of bits.
double small_float(uint32_t code, int exponent_bits, int mantissa_bits, int bias) {
  const uint32_t mantissa = code & ((1u << mantissa_bits) - 1);
  const int exponent = static_cast<int>(code >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const double fraction = mantissa / static_cast<double>(1 << mantissa_bits);
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
  return code >> (exponent_bits + mantissa_bits) != 0 ? -magnitude : magnitude;
}

TEST(Codecs, E2M1DecodesEveryCode) {
  for (uint32_t code = 0; code < 16; ++code) {
    EXPECT_EQ(E2M1::decode(code), small_float(code, 2, 1, 1)) << code;
    EXPECT_EQ(std::signbit(E2M1::decode(code)), code >= 8) << code;
  }
}

TEST(Codecs, E4M3DecodesEveryCode) {
  for (uint32_t code = 0; code < 256; ++code) {
    EXPECT_EQ(E4M3::decode(code), small_float(code, 4, 3, 7)) << code;
    EXPECT_EQ(std::signbit(E4M3::decode(code)), code >= 128) << code;
    EXPECT_EQ(E4M3Scale::decode(static_cast<uint8_t>(code)), E4M3::decode(code));
  }
  EXPECT_EQ(E4M3::decode(0x01), 0.001953125f);
  EXPECT_EQ(E4M3::decode(0x7e), 448.0f);
  EXPECT_EQ(E4M3::decode(0x7f), 480.0f);
  EXPECT_EQ(E4M3::decode(0xff), -480.0f);
}

TEST(Codecs, E8M0DecodesEveryByte) {
  for (int byte = 0; byte < 255; ++byte)
    EXPECT_EQ(E8M0::decode(static_cast<uint8_t>(byte)), std::ldexp(1.0, byte - 127)) << byte;
  EXPECT_EQ(E8M0::decode(255), std::numeric_limits<float>::infinity());
}

TEST(Codecs, IntegersDecodeToThemselves) {
  for (uint32_t code = 0; code < 256; ++code)
    EXPECT_EQ(UInt<8>::decode(code), static_cast<float>(code));
  EXPECT_EQ(UInt<3>::kMax, 7);
}

TEST(Codecs, E4M3EncodesItsOwnNumbers) {
  for (uint32_t code = 0; code < 256; ++code) {
    const uint32_t expected = (code & 0x7f) == 0x7f ? code - 1 : code;
    EXPECT_EQ(E4M3::encode(E4M3::decode(code)), expected) << code;
  }
}

// Of two neighbours the nearer, of a tie the even code.
uint8_t nearest_e4m3(float magnitude) {
  uint8_t best = 0;
  for (uint8_t code = 1; code <= 0x7e; ++code) {
    const double above = E4M3::decode(code) - static_cast<double>(magnitude);
    const double below = static_cast<double>(magnitude) - E4M3::decode(best);
    if (above < below || (above == below && code % 2 == 0)) best = code;
  }
  return best;
}

TEST(Codecs, E4M3EncodesEveryBf16) {
  for (uint32_t bits = 0; bits <= 0x7f80; ++bits) {
    const float value = to_float(Bf16{static_cast<uint16_t>(bits)});
    const uint8_t expected = std::isinf(value) ? 0x7e : nearest_e4m3(value);
    ASSERT_EQ(E4M3::encode(value), expected) << value;
    ASSERT_EQ(E4M3::encode(-value), expected | 0x80) << -value;
  }
}

TEST(Codecs, E4M3RoundsTiesToEvenAndSaturates) {
  EXPECT_EQ(E4M3::encode(0x1p-10f), 0x00);
  EXPECT_EQ(E4M3::encode(3 * 0x1p-10f), 0x02);
  EXPECT_EQ(E4M3::encode(std::nextafter(0x1p-10f, 1.0f)), 0x01);
  EXPECT_EQ(E4M3::encode(17.0f), E4M3::encode(16.0f));
  EXPECT_EQ(E4M3::encode(19.0f), E4M3::encode(20.0f));
  EXPECT_EQ(E4M3::encode(1e30f), 0x7e);
  EXPECT_EQ(E4M3::encode(-1e30f), 0xfe);
  EXPECT_EQ(E4M3::encode(std::numeric_limits<float>::quiet_NaN()), 0x7e);
  EXPECT_EQ(E4M3::encode(-std::numeric_limits<float>::quiet_NaN()), 0xfe);
}

static_assert(E4M3::encode(E4M3::decode(0x55)) == 0x55, "codecs work in constant expressions");
static_assert(E2M1::decode(7) == 6.0f && E8M0::decode(130) == 8.0f);

}  // namespace
}  // namespace strake
