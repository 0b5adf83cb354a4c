// The worked examples and edge cases that MLX's CPU backend was seen to give.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "io/expect_error.h"
#include "tensors.h"

namespace strake {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::FloatEq;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
using Words = std::vector<uint32_t>;
using Bytes = std::vector<uint8_t>;

Words words(const QuantizedMatrix& matrix) {
  const auto data = matrix.codes().data<uint32_t>();
  return {data.begin(), data.end()};
}

Bytes bytes(const QuantizedMatrix& matrix) {
  const auto data = matrix.scales().data<uint8_t>();
  return {data.begin(), data.end()};
}

// Codes of whole bytes, in order.
Bytes byte_codes(const QuantizedMatrix& matrix) {
  Bytes codes;
  for (const uint32_t word : words(matrix))
    for (int shift = 0; shift < 32; shift += 8)
      codes.push_back(static_cast<uint8_t>(word >> shift));
  return codes;
}

Bytes nibble_codes(const QuantizedMatrix& matrix) {
  Bytes codes;
  for (const uint32_t word : words(matrix))
    for (int shift = 0; shift < 32; shift += 4) codes.push_back(word >> shift & 15);
  return codes;
}

template <class T = float>
QuantizedMatrix mlx(const std::vector<float>& row, std::string_view mode, int bits, int group_size,
                    Encoder encoder = Encoder::kMlx) {
  return quantize(tensor_of<T>(row, {1, static_cast<int64_t>(row.size())}),
                  Format::parse(mode, bits, group_size), encoder);
}

template <class T = float>
QuantizedMatrix mxfp4(const std::vector<float>& row, Encoder encoder = Encoder::kMlx) {
  return mlx<T>(row, "mxfp4", 4, 32, encoder);
}

template <class T = float>
QuantizedMatrix mxfp8(const std::vector<float>& row, Encoder encoder = Encoder::kMlx) {
  return mlx<T>(row, "mxfp8", 8, 32, encoder);
}

template <class T = float>
QuantizedMatrix nvfp4(const std::vector<float>& row) {
  return mlx<T>(row, "nvfp4", 4, 16);
}

std::vector<float> example_a() {
  std::vector<float> row;
  for (int i = 0; i < 32; ++i) row.push_back(static_cast<float>(i));
  return row;
}

std::vector<float> example_b() {
  std::vector<float> row;
  for (int i = 0; i < 32; ++i) row.push_back(static_cast<float>(i % 8) * 0.5f - 3);
  return row;
}

std::vector<float> example_c() {
  std::vector<float> row;
  for (int i = 0; i < 32; ++i) row.push_back(static_cast<float>(i - 10) * 0.25f);
  return row;
}

// `first`, then `rest` up to `size` elements.
std::vector<float> group(std::initializer_list<float> first, float rest, size_t size = 32) {
  std::vector<float> row(first);
  row.resize(size, rest);
  return row;
}

void expect_affine(const std::vector<float>& row, int bits, const Words& expected, float scale,
                   float bias) {
  const QuantizedMatrix matrix = mlx(row, "affine", bits, 32);
  EXPECT_EQ(words(matrix), expected) << bits << " bits";
  EXPECT_THAT(floats(matrix.scales()), ElementsAre(FloatEq(scale))) << bits << " bits";
  EXPECT_THAT(floats(*matrix.biases()), ElementsAre(bias)) << bits << " bits";
}

Words repeat(const Words& part, int times) {
  Words all;
  for (int i = 0; i < times; ++i) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(QuantizeMlx, ExampleA) {
  const auto a = example_a();
  expect_affine(a, 2, {0xaaaaafff, 0x00055555}, -10.333333f, 31);
  expect_affine(a, 3, {0x6dbb6dff, 0x26db924b, 0x00124a49}, -4.42857122f, 31);
  expect_affine(a, 4, {0xccddeeff, 0x8899aabb, 0x44556677, 0x00112233}, -2.0666666f, 31);
  expect_affine(a, 5, {0x75be77df, 0x3a56d7c6, 0x35cf8465, 0xc74254b6, 0x00443214}, -1, 31);
  expect_affine(a, 6, {0x77e7bf7f, 0xbb6fc73d, 0x863967a6, 0x1661a71e, 0xa30e4125, 0x00210620},
                -0.492063493f, 31);
  expect_affine(a, 8,
                {0xe6eff7ff, 0xc5ced6de, 0xa5adb5bd, 0x848c949c, 0x636b737b, 0x424a525a, 0x2129313a,
                 0x00081019},
                -0.121568628f, 31);
  EXPECT_EQ(words(mxfp4(a)), (Words{0x33221100, 0x65555444, 0x77766666, 0x77777777}));
  EXPECT_EQ(bytes(mxfp4(a)), (Bytes{0x81}));
  EXPECT_EQ(words(mxfp8(a)), (Words{0x64605800, 0x6e6c6a68, 0x73727170, 0x77767574, 0x7a797878,
                                    0x7c7b7a7a, 0x7e7d7c7c, 0x7e7e7e7e}));
  EXPECT_EQ(bytes(mxfp8(a)), (Bytes{0x7b}));
  EXPECT_EQ(words(nvfp4(a)), (Words{0x54432210, 0x77766665, 0x66666655, 0x77777766}));
  EXPECT_EQ(bytes(nvfp4(a)), (Bytes{0x42, 0x4a}));
}

TEST(QuantizeMlx, ExampleB) {
  const auto b = example_b();
  expect_affine(b, 2, {0xfa90fa90, 0xfa90fa90}, 1, -3);
  expect_affine(b, 3, {0x88fac688, 0xc688fac6, 0xfac688fa}, 0.5f, -3);
  expect_affine(b, 4, repeat({0xfdb96420}, 4), 0.230769232f, -3);
  expect_affine(b, 5, {0xed272480, 0x272480fe, 0x2480feed, 0x80feed27, 0xfeed2724}, 0.111111112f,
                -3);
  expect_affine(b, 6, repeat({0x646d2240, 0x2240ff6b, 0xff6b646d}, 2), 0.055555556f, -3);
  expect_affine(b, 8, repeat({0x6e492400, 0xffdbb692}, 4), 0.01369863f, -3);
  EXPECT_EQ(words(mxfp4(b)), repeat({0x20acdeef}, 4));
  EXPECT_EQ(bytes(mxfp4(b)), (Bytes{0x7e}));
  EXPECT_EQ(words(mxfp8(b)), repeat({0xf4f8fafc, 0x6800e8f0}, 4));
  EXPECT_EQ(bytes(mxfp8(b)), (Bytes{0x78}));
  EXPECT_EQ(words(nvfp4(b)), repeat({0x20acdeef}, 4));
  EXPECT_EQ(bytes(nvfp4(b)), (Bytes{0x30, 0x30}));
}

template <class T>
void expect_affine_c(float scale) {
  const QuantizedMatrix matrix = mlx<T>(example_c(), "affine", 4, 32);
  EXPECT_EQ(words(matrix), (Words{0xbccddeef, 0x8899aaab, 0x44556677, 0x00112233}));
  EXPECT_THAT(floats(matrix.scales()), ElementsAre(scale));
  EXPECT_THAT(floats(*matrix.biases()), ElementsAre(5.25f));
}

TEST(QuantizeMlx, ExampleC) {
  expect_affine_c<float>(-0.524999976f);
  expect_affine_c<Bf16>(-0.5234375f);
  expect_affine_c<F16>(-0.524902344f);
  const auto c = example_c();
  EXPECT_EQ(words(mxfp4(c)), (Words{0x9aabbccc, 0x22110009, 0x55544433, 0x76666665}));
  EXPECT_EQ(bytes(mxfp4(c)), (Bytes{0x7f}));
  EXPECT_EQ(words(mxfp8(c)), (Words{0xeef0f1f2, 0xe4e8eaec, 0x5800d8e0, 0x6a686460, 0x71706e6c,
                                    0x75747372, 0x78787776, 0x7a7a7a79}));
  EXPECT_EQ(bytes(mxfp8(c)), (Bytes{0x79}));
  EXPECT_EQ(words(nvfp4(c)), (Words{0xccdeeeff, 0x5442109a, 0x65555443, 0x77776666}));
  EXPECT_EQ(bytes(nvfp4(c)), (Bytes{0x2d, 0x36}));
  const QuantizedMatrix scaled =
      quantize(tensor_of(c, {1, 32}), Format::parse("nvfp4"), Encoder::kMlx, 5.25f);
  EXPECT_EQ(words(scaled), words(nvfp4(c)));
  EXPECT_EQ(bytes(scaled), (Bytes{0x75, 0x7e}));
}

TEST(QuantizeMlx, DefaultAffineExample) {
  std::vector<float> rows;
  for (int i = 0; i < 64; ++i) rows.push_back(static_cast<float>(i) / 63);
  for (int i = 0; i < 64; ++i) rows.push_back(static_cast<float>(63 - i) / 63);
  const QuantizedMatrix matrix =
      quantize(tensor_of(rows, {2, 64}), Format::parse("affine"), Encoder::kMlx);
  EXPECT_EQ(words(matrix), (Words{0xdeeeefff, 0xbccccddd, 0xaaaaabbb, 0x88889999,  //
                                  0x66667777, 0x44455555, 0x22233334, 0x00011112,  //
                                  0x21111000, 0x43333222, 0x55555444, 0x77776666,  //
                                  0x99998888, 0xbbbaaaaa, 0xdddccccb, 0xfffeeeed}));
  EXPECT_THAT(floats(matrix.scales()), Each(FloatEq(-0.0666666701f)));
  EXPECT_THAT(floats(*matrix.biases()), Each(1.0f));
}

template <class T>
void expect_affine_group(const std::vector<float>& row, float scale, float bias, uint8_t code) {
  const QuantizedMatrix matrix = mlx<T>(row, "affine", 4, 32);
  EXPECT_THAT(floats(matrix.scales()), ElementsAre(FloatEq(scale)));
  EXPECT_THAT(floats(*matrix.biases()), ElementsAre(bias));
  EXPECT_THAT(nibble_codes(matrix), Each(code));
}

TEST(QuantizeMlx, AffineGroupsWithoutARange) {
  expect_affine_group<float>(group({}, 0), -1.00000001e-07f, 0, 0);
  expect_affine_group<Bf16>(group({}, 0), -215 * 0x1p-31f, 0, 0);
  expect_affine_group<F16>(group({}, 0), -0x1p-23f, 0, 0);
  for (const float constant : {1.5f, -1.5f, 1000.0f, -0.0078125f}) {
    expect_affine_group<float>(group({}, constant), -1e-7f, constant, 0);
    expect_affine_group<Bf16>(group({}, constant), -215 * 0x1p-31f, constant, 0);
    EXPECT_THAT(floats(dequantize(mlx(group({}, constant), "affine", 4, 32), DType::kF32)),
                Each(constant));
  }
  expect_affine_group<float>(group({4e-8f, 3e-8f}, 2e-8f), -1e-7f, 0, 0);
  expect_affine_group<float>(group({-4e-8f, 3e-8f}, 2e-8f), 1e-7f, 0, 0);
  const QuantizedMatrix f16 = mlx<F16>(group({3e-8f}, -2e-8f), "affine", 4, 32);
  EXPECT_THAT(floats(f16.scales()), ElementsAre(-0x1p-24f));
  EXPECT_THAT(floats(*f16.biases()), ElementsAre(0x1p-24f));
  EXPECT_EQ(words(f16), (Words{0x11111110, 0x11111111, 0x11111111, 0x11111111}));
}

TEST(QuantizeMlx, AffineRoundsTiesToEven) {
  const QuantizedMatrix matrix = mlx(group({3, 0, 2.5f, 1.5f, 0.5f}, 3), "affine", 2, 32);
  EXPECT_THAT(floats(matrix.scales()), ElementsAre(-1.0f));
  EXPECT_THAT(floats(*matrix.biases()), ElementsAre(3.0f));
  EXPECT_EQ(words(matrix)[0] & 0x3ff, 0b10'10'00'11'00u);
}

TEST(QuantizeMlx, AffineGroupsWithoutFiniteNumbers) {
  const QuantizedMatrix nan = mlx(group({kNan, 3}, 0), "affine", 4, 32);
  EXPECT_THAT(floats(nan.scales()), ElementsAre(FloatEq(-0.2f)));
  EXPECT_THAT(floats(*nan.biases()), ElementsAre(3.0f));
  EXPECT_EQ(words(nan)[0], 0xffffff00u);
  for (const float infinite : {kInf, -kInf}) {
    const QuantizedMatrix matrix = mlx(group({1, infinite}, 0.5f), "affine", 4, 32);
    EXPECT_TRUE(std::isnan(floats(matrix.scales())[0]));
    EXPECT_THAT(floats(*matrix.biases()), ElementsAre(infinite));
    EXPECT_THAT(words(matrix), Each(0u));
    for (const float value : floats(dequantize(matrix, DType::kF32)))
      EXPECT_TRUE(std::isnan(value));
  }
}

TEST(QuantizeMlx, GroupOfOnes) {
  const auto ones = group({}, 1);
  EXPECT_EQ(bytes(mxfp4(ones)), (Bytes{124}));
  EXPECT_THAT(nibble_codes(mxfp4(ones)), Each(7));
  EXPECT_THAT(floats(dequantize(mxfp4(ones), DType::kF32)), Each(0.75f));
  EXPECT_EQ(bytes(mxfp8(ones)), (Bytes{118}));
  EXPECT_THAT(byte_codes(mxfp8(ones)), Each(0x7e));
  EXPECT_THAT(floats(dequantize(mxfp8(ones), DType::kF32)), Each(0.875f));
  EXPECT_EQ(bytes(nvfp4(ones)), (Bytes{0x23, 0x23}));
  EXPECT_THAT(nibble_codes(nvfp4(ones)), Each(7));
  EXPECT_THAT(floats(dequantize(nvfp4(ones), DType::kF32)), Each(1.03125f));
}

// Since MLX 0.32.2 the exponent is rounded up, so that nothing saturates.
TEST(QuantizeMlx, GroupOfOnesWithTheCeilingRule) {
  const auto ones = group({}, 1);
  EXPECT_EQ(bytes(mxfp4(ones, Encoder::kMlxCeil)), (Bytes{125}));
  EXPECT_THAT(nibble_codes(mxfp4(ones, Encoder::kMlxCeil)), Each(6));
  EXPECT_EQ(bytes(mxfp8(ones, Encoder::kMlxCeil)), (Bytes{119}));
  EXPECT_THAT(byte_codes(mxfp8(ones, Encoder::kMlxCeil)), Each(0x78));
  EXPECT_EQ(bytes(mxfp4(example_a(), Encoder::kMlxCeil)), (Bytes{0x82}));
  EXPECT_EQ(words(mxfp4(example_a(), Encoder::kMlxCeil)),
            (Words{0x21111000, 0x43333222, 0x55544444, 0x66655555}));
  EXPECT_EQ(bytes(mxfp8(example_a(), Encoder::kMlxCeil)), (Bytes{0x7c}));
  // Exactly at a power of two, and just above it.
  EXPECT_EQ(bytes(mxfp4(group({6}, 1), Encoder::kMlxCeil)), (Bytes{127}));
  EXPECT_EQ(bytes(mxfp4(group({std::nextafter(6.0f, 7.0f)}, 1), Encoder::kMlxCeil)), (Bytes{128}));
}

TEST(QuantizeMlx, MxThresholdsDependOnTheDtype) {
  const auto fp4 = [](float largest) { return group({largest}, 0); };
  EXPECT_EQ(bytes(mxfp4(fp4(8.5f))), (Bytes{128}));
  EXPECT_EQ(bytes(mxfp4<Bf16>(fp4(8.5f))), (Bytes{127}));
  EXPECT_EQ(bytes(mxfp4(fp4(4.25f))), (Bytes{127}));
  EXPECT_EQ(bytes(mxfp4<Bf16>(fp4(4.25f))), (Bytes{127}));
  EXPECT_EQ(bytes(mxfp4(fp4(4.24f))), (Bytes{126}));
  EXPECT_EQ(bytes(mxfp4<Bf16>(fp4(4.24f))), (Bytes{127}));
  EXPECT_EQ(bytes(mxfp8(fp4(633))), (Bytes{127}));
  EXPECT_EQ(bytes(mxfp8<Bf16>(fp4(633))), (Bytes{127}));
  EXPECT_EQ(bytes(mxfp8(fp4(634))), (Bytes{128}));
  EXPECT_EQ(bytes(mxfp8<Bf16>(fp4(634))), (Bytes{127}));
  EXPECT_EQ(bytes(mxfp4(fp4(8))), (Bytes{127}));
  EXPECT_EQ(nibble_codes(mxfp4(fp4(8)))[0], 7);
}

TEST(QuantizeMlx, ElementTiesGoTowardZero) {
  const std::vector<float> ties = {6,  0.25f,  0.75f,  1.25f,  1.75f,  2.5f,  3.5f,  5,
                                   -6, -0.25f, -0.75f, -1.25f, -1.75f, -2.5f, -3.5f, -5};
  std::vector<float> row = ties;
  row.insert(row.end(), ties.begin(), ties.end());
  EXPECT_EQ(bytes(mxfp4(row)), (Bytes{127}));
  EXPECT_EQ(words(mxfp4(row)), repeat({0x65432107, 0xedcba90f}, 2));
}

TEST(QuantizeMlx, ZeroGroups) {
  EXPECT_EQ(bytes(mxfp4(group({}, 0))), (Bytes{127}));
  EXPECT_EQ(bytes(mxfp8(group({}, 0))), (Bytes{127}));
  EXPECT_EQ(bytes(nvfp4(group({}, 0, 16))), (Bytes{0}));
  EXPECT_THAT(words(mxfp4(group({}, -0.0f))), Each(0u));
  EXPECT_THAT(words(nvfp4(group({}, -0.0f, 16))), Each(0u));
  EXPECT_THAT(byte_codes(mxfp8(group({}, -0.0f))), Each(0x80));
}

TEST(QuantizeMlx, MxExponentsWrap) {
  EXPECT_EQ(bytes(mxfp4(group({1e-38f}, 0))), (Bytes{0xfe}));
  EXPECT_EQ(bytes(mxfp4<Bf16>(group({1e-38f}, 0))), (Bytes{0xfe}));
  EXPECT_EQ(bytes(mxfp4<F16>(group({1e-38f}, 0))), (Bytes{0x7f}));
  EXPECT_EQ(bytes(mxfp4(group({1e-40f}, 0))), (Bytes{0xf8}));
  EXPECT_EQ(bytes(mxfp4<Bf16>(group({1e-40f}, 0))), (Bytes{0x7f}));
  EXPECT_EQ(bytes(mxfp4<F16>(group({1e-40f}, 0))), (Bytes{0x7f}));
  EXPECT_EQ(bytes(mxfp4(group({3e38f}, 0))), (Bytes{0xfc}));
  EXPECT_EQ(bytes(mxfp8(group({3e38f}, 0))), (Bytes{0xf6}));
  EXPECT_EQ(bytes(mxfp8<Bf16>(group({3e38f}, 0))), (Bytes{0xf6}));
}

TEST(QuantizeMlx, MxGroupsWithoutFiniteNumbers) {
  for (const float special : {kNan, kInf, -kInf}) {
    const auto row = group({special, 2, -2}, 1);
    EXPECT_EQ(bytes(mxfp4(row)), (Bytes{0x80}));
    EXPECT_EQ(bytes(mxfp4<Bf16>(row)), (Bytes{0}));
    EXPECT_EQ(bytes(mxfp4<F16>(row)), (Bytes{0}));
    EXPECT_THAT(nibble_codes(mxfp4(row)), Each(0));
    EXPECT_EQ(bytes(mxfp8(row)), (Bytes{0x80}));
    Bytes signs = byte_codes(mxfp8(row));
    EXPECT_EQ(signs[0], special == -kInf ? 0xfe : 0x7e);
    EXPECT_EQ(signs[1], 0x7e);
    EXPECT_EQ(signs[2], 0xfe);
  }
}

TEST(QuantizeMlx, Nvfp4BeyondItsRange) {
  for (const float special : {kNan, kInf, -kInf}) {
    EXPECT_EQ(bytes(nvfp4(group({special}, 1, 16))), (Bytes{0x7e}));
    EXPECT_THAT(nibble_codes(nvfp4(group({special}, 1, 16))), Each(0));
  }
  EXPECT_EQ(bytes(nvfp4(group({3000, -4000}, 0, 16))), (Bytes{0x7e}));
  EXPECT_EQ(words(nvfp4(group({3000, -4000}, 0, 16)))[0], 0xf7u);
  EXPECT_EQ(bytes(nvfp4(group({3e38f}, 0, 16))), (Bytes{0x7e}));
  EXPECT_THAT(words(nvfp4(group({3e38f}, 0, 16))), Each(0u));
  EXPECT_EQ(bytes(nvfp4(group({0.005f}, 0.004f, 16))), (Bytes{0}));
  EXPECT_THAT(words(nvfp4(group({0.005f}, 0.004f, 16))), Each(0u));
}

TEST(QuantizeMlx, AnyNumberOfNvfp4Groups) {
  for (const int64_t rows : {1, 3})
    for (const int64_t columns : {16, 48}) {
      const Tensor weight = random_weight(1, {rows, columns});
      const QuantizedMatrix matrix = quantize(weight, Format::parse("nvfp4"), Encoder::kMlx);
      EXPECT_EQ(matrix.shape(), Shape({rows, columns}));
      EXPECT_EQ(dequantize(matrix, DType::kF32).shape(), Shape({rows, columns}));
    }
}

TEST(Quantize, RefusesWhatItCannotHonour) {
  const Format mxfp4_format = Format::parse("mxfp4");
  const auto refuse = [&](const std::string& message, const Tensor& weight, Format format,
                          std::optional<float> amax = std::nullopt) {
    for (const Encoder encoder : {Encoder::kLeastError, Encoder::kMlx, Encoder::kMlxCeil})
      expect_error(ErrorKind::kUsage, message, [&] { quantize(weight, format, encoder, amax); });
  };
  refuse("a floating weight was expected, found U32", Tensor::zeros(DType::kU32, {2, 32}),
         mxfp4_format);
  refuse("a weight of 2 or 3 axes was expected, found [32]", Tensor::zeros(DType::kF32, {32}),
         mxfp4_format);
  refuse("2 or 3 axes was expected, found [1, 1, 1, 32]", Tensor::zeros(DType::kF32, {1, 1, 1, 32}),
         mxfp4_format);
  refuse("mxfp4 (4 bits, groups of 32): the last axis of [2, 48] is not whole groups",
         Tensor::zeros(DType::kF32, {2, 48}), mxfp4_format);
  refuse("only nvfp4 takes the tensor's largest magnitude, not mxfp4",
         Tensor::zeros(DType::kF32, {2, 32}), mxfp4_format, 1.0f);
  for (const float amax : {0.0f, -1.0f, kNan, kInf})
    refuse("the tensor's largest magnitude is", Tensor::zeros(DType::kF32, {2, 32}),
           Format::parse("nvfp4"), amax);
}

TEST(Quantize, RowsAreIndependent) {
  const Tensor weight = random_weight(3, {6, 256});
  for (const Format format : Format::all())
    for (const Encoder encoder : {Encoder::kLeastError, Encoder::kMlx, Encoder::kMlxCeil}) {
      const QuantizedMatrix whole = quantize(weight, format, encoder);
      const QuantizedMatrix parts[] = {quantize(weight.slice(0, 0, 1), format, encoder),
                                       quantize(weight.slice(0, 1, 6), format, encoder)};
      const QuantizedMatrix joined = concatenate(parts, 0);
      EXPECT_EQ(words(joined), words(whole)) << format.to_string();
      EXPECT_EQ(floats(dequantize(joined, DType::kF32)), floats(dequantize(whole, DType::kF32)));
      const QuantizedMatrix stack = quantize(weight.reshape({2, 3, 256}), format, encoder);
      EXPECT_EQ(words(stack), words(whole)) << format.to_string();
    }
}

}  // namespace
}  // namespace strake
