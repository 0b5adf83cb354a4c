#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "golden_inputs.h"
#include "io/expect_error.h"
#include "quant/decode.h"
#include "tensors.h"

namespace strake {
namespace {

// Every code in turn, 0 to 2^bits - 1 and again, `rows` times over with each scale repeated so
// that it meets every code.
template <class Spec>
struct AllCodes {
  static constexpr int kCodes = 1 << Spec::kBits;
  static constexpr int kRowsPerScale = std::max(kCodes / Spec::kGroupSize, 1);

  static Tensor words(int scales) {
    const int64_t rows = scales * kRowsPerScale;
    Tensor result = Tensor::empty(DType::kU32, {rows, Spec::kWordsPerGroup});
    uint32_t* out = result.mutable_data<uint32_t>().data();
    for (int64_t row = 0; row < rows; ++row, out += Spec::kWordsPerGroup) {
      std::array<uint8_t, Spec::kGroupSize> codes;
      for (int i = 0; i < Spec::kGroupSize; ++i)
        codes[static_cast<size_t>(i)] = static_cast<uint8_t>((row * Spec::kGroupSize + i) % kCodes);
      pack_group<Spec>(codes.data(), out);
    }
    return result;
  }

  template <class T>
  static Tensor per_row(const std::vector<T>& scales) {
    std::vector<T> repeated;
    for (const T scale : scales) repeated.insert(repeated.end(), kRowsPerScale, scale);
    return integers(repeated, {static_cast<int64_t>(repeated.size()), 1});
  }
};

std::vector<uint8_t> all_bytes() {
  std::vector<uint8_t> bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<uint8_t>(byte));
  return bytes;
}

// The pairs of scale and bias that scripts/goldens/quantize.py uses.
std::vector<float> golden_numbers(int bits, uint64_t first) {
  std::vector<float> values;
  for (uint64_t i = 0; i < 64; ++i) {
    const uint64_t raw = golden::random_u64(static_cast<uint64_t>(1000 + bits), first + i) >> 40;
    values.push_back(static_cast<float>(static_cast<int64_t>(raw) - (1 << 23)) * 0x1p-20f);
  }
  return values;
}

template <class Spec>
QuantizedMatrix every_code_and_scale(Format format, std::optional<float> amax) {
  using Codes = AllCodes<Spec>;
  if constexpr (Spec::kHasBiases)
    return QuantizedMatrix::make("w", format,
                                 {Codes::words(64), Codes::per_row(golden_numbers(Spec::kBits, 0)),
                                  Codes::per_row(golden_numbers(Spec::kBits, 64))});
  else
    return QuantizedMatrix::make(
        "w", format, {Codes::words(256), Codes::per_row(all_bytes()), std::nullopt, amax});
}

TEST(Dequantize, IsMlxsForEveryCodeAndScale) {
  std::ifstream in(STRAKE_TEST_DATA "/quant/mlx-0.32.1.txt");
  int lines = 0;
  for (std::string text; std::getline(in, text);) {
    std::istringstream words(text);
    std::string operation, mode, amax, values;
    int bits = 0, group_size = 0;
    words >> operation >> mode >> bits >> group_size >> amax >> values;
    if (operation != "dequantize") continue;
    ++lines;
    const Format format = Format::parse(mode, bits, group_size);
    visit_format(format, [&](auto spec) {
      const QuantizedMatrix matrix = every_code_and_scale<decltype(spec)>(
          format, amax == "-" ? std::nullopt : std::optional(std::stof(amax)));
      std::ostringstream found;
      found << std::hex << std::setw(16) << std::setfill('0')
            << golden::digest(dequantize(matrix, DType::kF32));
      EXPECT_EQ(found.str(), values) << text;
    });
  }
  EXPECT_EQ(lines, 22);
}

// element * 2^(byte - 127), by arithmetic in float64, which holds every such product.
template <class Element>
void expect_exact_e8m0(Format format) {
  visit_format(format, [&](auto spec) {
    using Spec = decltype(spec);
    if constexpr (std::is_same_v<typename Spec::Element, Element> &&
                  std::is_same_v<typename Spec::Scale, E8M0>) {
      const auto values =
          floats(dequantize(every_code_and_scale<Spec>(format, std::nullopt), DType::kF32));
      constexpr int kPerScale = AllCodes<Spec>::kRowsPerScale * Spec::kGroupSize;
      for (int byte = 0; byte < 255; ++byte)
        for (int i = 0; i < kPerScale; ++i) {
          const auto code = static_cast<uint32_t>(i % AllCodes<Spec>::kCodes);
          const double exact = std::ldexp(Element::decode(code), byte - 127);
          const float value = values[static_cast<size_t>(byte * kPerScale + i)];
          ASSERT_EQ(value, static_cast<float>(exact)) << "byte " << byte << " code " << code;
        }
    }
  });
}

TEST(Dequantize, MxIsElementTimesPowerOfTwo) {
  expect_exact_e8m0<E2M1>(Format::parse("mxfp4"));
  expect_exact_e8m0<E4M3>(Format::parse("mxfp8"));
}

TEST(Dequantize, InfiniteScaleGivesInfinityAndNan) {
  const Tensor codes = integers<uint32_t>({0x10u, 0, 0, 0}, {1, 4});
  const auto values = floats(dequantize(
      QuantizedMatrix::make("w", Format::parse("mxfp4"), {codes, integers<uint8_t>({255}, {1, 1})}),
      DType::kF32));
  EXPECT_TRUE(std::isnan(values[0]));
  EXPECT_EQ(values[1], std::numeric_limits<float>::infinity());
}

TEST(Dequantize, Nvfp4ScalesMayBeNegative) {
  const Tensor codes = integers<uint32_t>({0x76543210u, 0xfedcba98u}, {1, 2});
  const auto values =
      floats(dequantize(QuantizedMatrix::make("w", Format::parse("nvfp4"),
                                              {codes, integers<uint8_t>({0xb8}, {1, 1})}),
                        DType::kF32));
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(values[i], -E2M1::decode(static_cast<uint32_t>(i)));
}

TEST(Dequantize, RoundsOnceToTheDtypeAsked) {
  // 257/256 * 3 + 1/512 has more bits than bf16 at every step.
  const Tensor codes = integers<uint32_t>({0x33333333u, 0, 0, 0}, {1, 4});
  const QuantizedMatrix matrix = QuantizedMatrix::make(
      "w", Format::parse("affine", 4, 32),
      {codes, tensor_of({257.0f / 256}, {1, 1}), tensor_of({0x1p-9f}, {1, 1})});
  const float exact = 257.0f / 256 * 3 + 0x1p-9f;
  EXPECT_EQ(floats(dequantize(matrix, DType::kF32))[0], exact);
  EXPECT_EQ(floats(dequantize(matrix, DType::kBF16))[0], to_float(to_bf16(exact)));
  EXPECT_EQ(floats(dequantize(matrix, DType::kF16))[0], to_float(to_f16(exact)));
  EXPECT_EQ(dequantize(matrix, DType::kF16).dtype(), DType::kF16);
  expect_error(ErrorKind::kUsage, "dequantize: a floating dtype was expected, found U8",
               [&] { dequantize(matrix, DType::kU8); });
}

TEST(Dequantize, ReadsScalesOfEveryDtype) {
  const Tensor codes = integers<uint32_t>({0x01010101u, 0x02020202u, 3, 4}, {1, 4});
  const Format format = Format::parse("affine", 4, 32);
  const auto decode = [&](const Tensor& scales, const Tensor& biases) {
    return floats(
        dequantize(QuantizedMatrix::make("w", format, {codes, scales, biases}), DType::kF32));
  };
  const auto expected = decode(tensor_of({0.75f}, {1, 1}), tensor_of({-2.5f}, {1, 1}));
  EXPECT_EQ(expected[0], 0.75f - 2.5f);
  EXPECT_EQ(decode(tensor_of<F16>({0.75f}, {1, 1}), tensor_of<F16>({-2.5f}, {1, 1})), expected);
  EXPECT_EQ(decode(tensor_of<Bf16>({0.75f}, {1, 1}), tensor_of<Bf16>({-2.5f}, {1, 1})), expected);
}

TEST(Dequantize, HasTwoAndThreeAxesAndMeta) {
  const QuantizedMatrix matrix =
      quantize(random_weight(1, {2, 3, 64}), Format::parse("mxfp8"), Encoder::kLeastError);
  EXPECT_EQ(dequantize(matrix, DType::kBF16).shape(), Shape({2, 3, 64}));
  const Tensor nowhere = Tensor::empty(DType::kBF16, {4, 64}, Device::meta());
  const QuantizedMatrix planned = quantize(nowhere, Format::parse("affine"), Encoder::kLeastError);
  EXPECT_EQ(planned.device(), Device::meta());
  EXPECT_EQ(dequantize(planned, DType::kF32).shape(), Shape({4, 64}));
}

}  // namespace
}  // namespace strake
