#include "strake/base/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace strake {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// The value of a 16-bit pattern by arithmetic; infinities as the next power of two, so that they
// have a distance.
double value_of(uint32_t magnitude, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(magnitude >> mantissa_bits);
  const double fraction =
      (magnitude & ((1u << mantissa_bits) - 1)) / static_cast<double>(1 << mantissa_bits);
  return exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
}

struct Bf16Type {
  using Type = Bf16;
  static constexpr int kExponentBits = 8, kMantissaBits = 7;
};
struct F16Type {
  using Type = F16;
  static constexpr int kExponentBits = 5, kMantissaBits = 10;
};

template <class Half>
class HalfTest : public testing::Test {
 public:
  using T = typename Half::Type;
  static constexpr uint16_t kInfinity = ((1 << Half::kExponentBits) - 1) << Half::kMantissaBits;

  static double value(uint32_t magnitude) {
    return value_of(magnitude, Half::kExponentBits, Half::kMantissaBits);
  }
  static uint16_t rounded(double number) { return from_float<T>(static_cast<float>(number)).bits; }
};

using HalfTypes = testing::Types<Bf16Type, F16Type>;
TYPED_TEST_SUITE(HalfTest, HalfTypes);

TYPED_TEST(HalfTest, DecodesEveryPattern) {
  using Value = typename TypeParam::Type;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = to_float(Value{static_cast<uint16_t>(bits)});
    const uint32_t magnitude = bits & 0x7fffu;
    ASSERT_EQ(std::signbit(value), bits >= 0x8000u) << bits;
    if (magnitude > TestFixture::kInfinity)
      ASSERT_TRUE(std::isnan(value)) << bits;
    else if (magnitude == TestFixture::kInfinity)
      ASSERT_EQ(std::fabs(value), kInf);
    else
      ASSERT_EQ(std::fabs(value), TestFixture::value(magnitude)) << bits;
  }
}

TYPED_TEST(HalfTest, EncodesItsOwnNumbers) {
  using Value = typename TypeParam::Type;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const Value half{static_cast<uint16_t>(bits)};
    if ((bits & 0x7fffu) <= TestFixture::kInfinity)
      ASSERT_EQ(from_float<Value>(to_float(half)).bits, bits);
    else
      ASSERT_TRUE(std::isnan(to_float(from_float<Value>(to_float(half))))) << bits;
  }
}

// Between any two neighbours everything below the middle goes down, everything above goes up, and
// the middle goes to the even one. Rounding is monotonic, so the float32 next to the middle decide.
TYPED_TEST(HalfTest, RoundsToTheNearestOfEveryPair) {
  for (uint32_t bits = 0; bits < TestFixture::kInfinity; ++bits) {
    const double low = TestFixture::value(bits);
    const double high = TestFixture::value(bits + 1);
    const auto middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(static_cast<double>(middle), (low + high) / 2);
    const uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    for (const uint32_t sign : {0u, 0x8000u}) {
      const double factor = sign == 0 ? 1 : -1;
      ASSERT_EQ(TestFixture::rounded(factor * low), bits | sign);
      ASSERT_EQ(TestFixture::rounded(factor * std::nextafter(middle, 0.0f)), bits | sign);
      ASSERT_EQ(TestFixture::rounded(factor * middle), even | sign);
      ASSERT_EQ(TestFixture::rounded(factor * std::nextafter(middle, kInf)), (bits + 1) | sign);
    }
  }
}

TYPED_TEST(HalfTest, KeepsWhatIsNotFinite) {
  using Value = typename TypeParam::Type;
  EXPECT_EQ(TestFixture::rounded(std::numeric_limits<float>::max()), TestFixture::kInfinity);
  EXPECT_EQ(TestFixture::rounded(-kInf), TestFixture::kInfinity | 0x8000u);
  for (const uint32_t nan : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffffffffu})
    EXPECT_TRUE(std::isnan(to_float(from_float<Value>(std::bit_cast<float>(nan))))) << nan;
}

static_assert(to_float(to_f16(1.5f)) == 1.5f && to_float(to_bf16(-0.25f)) == -0.25f);
static_assert(from_float<float>(0.1f) == 0.1f && to_float(0.1f) == 0.1f);

}  // namespace
}  // namespace strake
