#include "io/gguf_quantized.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "expect_error.h"
#include "io/gguf.h"
#include "io/gguf_decode.h"
#include "strake/quant/quantize.h"

namespace strake {
namespace {

constexpr GgufType kExact[] = {GgufType::kQ4_0, GgufType::kQ4_1, GgufType::kQ8_0, GgufType::kMXFP4};

// What the blocks stand for, and what the matrix made of them stands for.
void expect_same_values(GgufType type, const Tensor& blocks, const Shape& shape) {
  const QuantizedMatrix matrix = quantized_from_gguf("w", type, blocks, shape);
  EXPECT_EQ(matrix.shape(), shape);
  const Tensor values = dequantize(matrix, DType::kF32);
  std::vector<float> expected(static_cast<size_t>(shape.elements()));
  decode_gguf("w", type, blocks.bytes(), expected);
  const auto found = values.data<float>();
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(found[i], expected[i]) << i;
}

// One block with the codes 0, 1, .. for each of `heads`, the bytes before the codes.
Tensor counting_blocks(GgufType type, const std::vector<std::vector<uint8_t>>& heads) {
  std::vector<uint8_t> bytes;
  for (const auto& head : heads) {
    bytes.insert(bytes.end(), head.begin(), head.end());
    const size_t codes = static_cast<size_t>(traits(type).bytes) - head.size();
    for (size_t i = 0; i < codes; ++i)  // every code within 8 blocks, and both nibbles
      bytes.push_back(static_cast<uint8_t>(i * 17 + heads.size() + bytes.size() / 31 * 8));
  }
  return Tensor::from<uint8_t>(bytes, {static_cast<int64_t>(bytes.size())});
}

std::vector<uint8_t> halves(std::initializer_list<int> bits) {
  std::vector<uint8_t> bytes;
  for (const int value : bits) {
    bytes.push_back(static_cast<uint8_t>(value));
    bytes.push_back(static_cast<uint8_t>(value >> 8));
  }
  return bytes;
}

TEST(GgufQuantized, ReferenceBlocksKeepTheirValues) {
  const auto file = GgufFile::open(std::filesystem::path(STRAKE_TEST_DATA) / "io/types.gguf");
  for (const GgufType type : kExact) {
    SCOPED_TRACE(to_string(type));
    const std::string name(to_string(type));
    expect_same_values(type, file.read_blocks(name), file.tensors().at(name).shape);
  }
}

// Every finite float16 scale, in chunks whose scales fit float16 after the offset and others.
TEST(GgufQuantized, EveryScaleIsExact) {
  for (const GgufType type : {GgufType::kQ4_0, GgufType::kQ8_0}) {
    SCOPED_TRACE(to_string(type));
    for (int first = 0; first < 0x10000; first += 0x400) {
      if ((first & 0x7c00) == 0x7c00) continue;  // infinities and NaN
      std::vector<std::vector<uint8_t>> heads;
      for (int bits = first; bits < first + 0x400; ++bits) heads.push_back(halves({bits}));
      expect_same_values(type, counting_blocks(type, heads), {0x20, 0x400});
    }
  }
}

TEST(GgufQuantized, EveryCodeIsExact) {
  for (int d = 0; d < 0x7c00; d += 97)
    for (const int m : {0, 0x8001, 0x3555, 0xfbff}) {
      const std::vector<std::vector<uint8_t>> blocks(16, halves({d, m}));
      expect_same_values(GgufType::kQ4_1, counting_blocks(GgufType::kQ4_1, blocks), {2, 256});
    }
  std::vector<uint8_t> bytes;
  for (int block = 0; block < 8; ++block) {
    bytes.insert(bytes.end(), {0x00, 0x3c});
    for (int i = 0; i < 32; ++i) bytes.push_back(static_cast<uint8_t>(block * 32 + i));
  }
  expect_same_values(GgufType::kQ8_0,
                     Tensor::from<uint8_t>(bytes, {static_cast<int64_t>(bytes.size())}), {1, 256});
}

TEST(GgufQuantized, EveryFiniteExponentIsExact) {
  std::vector<std::vector<uint8_t>> heads;
  for (int e = 0; e < 255; ++e) heads.push_back({static_cast<uint8_t>(e)});
  expect_same_values(GgufType::kMXFP4, counting_blocks(GgufType::kMXFP4, heads), {255, 32});
}

TEST(GgufQuantized, BiasesBeyondFloat16TakeFloat32) {
  const auto dtype = [](GgufType type, int bits) {
    return exact_scale_dtype(type, counting_blocks(type, {halves({0x3c00}), halves({bits})}));
  };
  EXPECT_EQ(dtype(GgufType::kQ8_0, 0x5fff), DType::kF16);  // 511.75
  EXPECT_EQ(dtype(GgufType::kQ8_0, 0x6000), DType::kF32);  // 512
  EXPECT_EQ(dtype(GgufType::kQ4_0, 0x6fff), DType::kF16);  // 8188
  EXPECT_EQ(dtype(GgufType::kQ4_0, 0xf000), DType::kF32);  // -8192
}

TEST(GgufQuantized, FormatsAndScaleTypes) {
  EXPECT_EQ(exact_format(GgufType::kQ4_0), Format::parse("affine", 4, 32));
  EXPECT_EQ(exact_format(GgufType::kQ4_1), Format::parse("affine", 4, 32));
  EXPECT_EQ(exact_format(GgufType::kQ8_0), Format::parse("affine", 8, 32));
  EXPECT_EQ(exact_format(GgufType::kMXFP4), Format::parse("mxfp4"));
  EXPECT_EQ(exact_format(GgufType::kQ5_0), std::nullopt);
}

TEST(GgufQuantized, ScalesThatAreNotFiniteAreRefused) {
  for (const int bits : {0x7c00, 0xfc00, 0x7e00})
    for (const GgufType type : {GgufType::kQ4_0, GgufType::kQ8_0})
      expect_error(ErrorKind::kCheckpoint, "w.scales", [&] {
        quantized_from_gguf("w", type, counting_blocks(type, {halves({bits})}), {1, 32});
      });
  expect_error(ErrorKind::kCheckpoint, "w.biases", [&] {
    quantized_from_gguf("w", GgufType::kQ4_1,
                        counting_blocks(GgufType::kQ4_1, {halves({0, 0x7e00})}), {1, 32});
  });
  expect_error(ErrorKind::kCheckpoint, "w.scales", [&] {
    quantized_from_gguf("w", GgufType::kMXFP4, counting_blocks(GgufType::kMXFP4, {{255}}), {1, 32});
  });
}

}  // namespace
}  // namespace strake
