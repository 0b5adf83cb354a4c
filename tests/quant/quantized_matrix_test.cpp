#include "strake/quant/quantized_matrix.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "io/expect_error.h"
#include "tensors.h"

namespace strake {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

QuantizedMatrix random_matrix(Format format, uint64_t seed, const Shape& shape) {
  return quantize(random_weight(seed, shape), format, Encoder::kMlx);
}

std::vector<float> decoded(const QuantizedMatrix& matrix) {
  return floats(dequantize(matrix, DType::kF32));
}

std::vector<float> decoded(const QuantizedMatrix& matrix, int axis, int64_t begin, int64_t end) {
  return floats(dequantize(matrix, DType::kF32).slice(axis, begin, end));
}

TEST(QuantizedMatrix, KnowsItsLogicalShape) {
  for (const Format format : Format::all()) {
    const QuantizedMatrix flat = random_matrix(format, 1, {3, 256});
    EXPECT_EQ(flat.shape(), Shape({3, 256}));
    EXPECT_EQ(flat.format(), format);
    EXPECT_EQ(flat.codes().shape(), Shape({3, 8 * format.bits()}));
    EXPECT_EQ(flat.scales().shape(), Shape({3, 256 / format.group_size()}));
    EXPECT_EQ(flat.biases().has_value(), format.has_biases());
    EXPECT_EQ(flat.nbytes(),
              flat.codes().nbytes() + (format.has_biases() ? 2 : 1) * flat.scales().nbytes());
    EXPECT_EQ(random_matrix(format, 1, {2, 3, 128}).shape(), Shape({2, 3, 128}));
  }
}

TEST(QuantizedMatrix, SlicesAsItsValuesDo) {
  for (const Format format : Format::all()) {
    SCOPED_TRACE(format.to_string());
    const QuantizedMatrix flat = random_matrix(format, 2, {5, 512});
    for (const auto& [begin, end] : {std::pair{0, 5}, {1, 4}, {4, 5}, {2, 2}})
      EXPECT_EQ(decoded(flat.slice(0, begin, end)), decoded(flat, 0, begin, end));
    for (const auto& [begin, end] : {std::pair{0, 512}, {128, 384}, {384, 512}, {256, 256}}) {
      const QuantizedMatrix part = flat.slice(1, begin, end);
      EXPECT_EQ(part.format(), format);
      EXPECT_EQ(part.shape(), Shape({5, end - begin}));
      EXPECT_EQ(decoded(part), decoded(flat, 1, begin, end));
      EXPECT_EQ(decoded(flat.slice(-1, begin, end)), decoded(part));
    }
    const QuantizedMatrix stack = random_matrix(format, 3, {3, 4, 256});
    EXPECT_EQ(decoded(stack.slice(0, 1, 3)), decoded(stack, 0, 1, 3));
    EXPECT_EQ(decoded(stack.slice(1, 1, 4)), decoded(stack, 1, 1, 4));
    EXPECT_EQ(decoded(stack.slice(2, 128, 256)), decoded(stack, 2, 128, 256));
  }
}

TEST(QuantizedMatrix, JoinsAsItsValuesDo) {
  for (const Format format : Format::all()) {
    SCOPED_TRACE(format.to_string());
    const QuantizedMatrix stack = random_matrix(format, 4, {4, 6, 512});
    for (const auto& [axis, cut] : {std::pair{0, 1}, {1, 5}, {2, 128}}) {
      const QuantizedMatrix parts[] = {stack.slice(axis, 0, cut),
                                       stack.slice(axis, cut, stack.shape()[axis])};
      const QuantizedMatrix joined = concatenate(parts, axis);
      EXPECT_EQ(joined.format(), format);
      EXPECT_EQ(joined.shape(), stack.shape());
      EXPECT_EQ(decoded(joined), decoded(stack));
    }
  }
}

TEST(QuantizedMatrix, RefusesToCutAGroup) {
  for (const Format format : Format::all()) {
    SCOPED_TRACE(format.to_string());
    const QuantizedMatrix matrix = random_matrix(format, 5, {2, 512});
    const std::string cut = "groups of " + std::to_string(format.group_size()) + " cannot be cut";
    const int64_t group = format.group_size();
    for (const int64_t end : {group / 2, group + 1, 2 * group - 1})
      expect_error(ErrorKind::kUsage, cut, [&] { matrix.slice(1, 0, end); });
    expect_error(ErrorKind::kUsage, cut, [&] { matrix.slice(-1, group / 2, 2 * group); });
    expect_error(ErrorKind::kUsage, "slice [0, ", [&] { matrix.slice(1, 0, 512 + group); });
    expect_error(ErrorKind::kUsage, "slice [1, 3)", [&] { matrix.slice(0, 1, 3); });
  }
}

TEST(QuantizedMatrix, RefusesToJoinWhatDiffers) {
  const QuantizedMatrix four = random_matrix(Format::parse("affine", 4, 32), 6, {2, 128});
  const QuantizedMatrix eight = random_matrix(Format::parse("affine", 8, 32), 6, {2, 128});
  const QuantizedMatrix narrow = random_matrix(Format::parse("affine", 4, 32), 6, {2, 64});
  const QuantizedMatrix formats[] = {four, eight};
  expect_error(ErrorKind::kUsage, "affine (4 bits, groups of 32) and affine (8 bits, groups of 32)",
               [&] { concatenate(formats, 0); });
  const QuantizedMatrix shapes[] = {four, narrow};
  expect_error(ErrorKind::kUsage, "does not fit", [&] { concatenate(shapes, 0); });
  expect_error(ErrorKind::kUsage, "nothing to join",
               [] { concatenate(std::span<const QuantizedMatrix>(), 0); });
  const Format nvfp4 = Format::parse("nvfp4");
  const QuantizedMatrix scaled[] = {
      quantize(random_weight(7, {2, 32}), nvfp4, Encoder::kMlx, 2.0f),
      quantize(random_weight(7, {2, 32}), nvfp4, Encoder::kMlx, 3.0f)};
  expect_error(ErrorKind::kUsage, "different tensor scales", [&] { concatenate(scaled, 0); });
}

TEST(QuantizedMatrix, KeepsTheTensorScaleWhereverItGoes) {
  const QuantizedMatrix matrix =
      quantize(random_weight(8, {4, 64}), Format::parse("nvfp4"), Encoder::kMlx, 5.25f);
  EXPECT_EQ(matrix.tensor_scale(), 5.25f / 2688.0f);
  EXPECT_EQ(matrix.slice(1, 16, 48).tensor_amax(), 5.25f);
  const QuantizedMatrix halves[] = {matrix.slice(0, 0, 1), matrix.slice(0, 1, 4)};
  EXPECT_EQ(concatenate(halves, 0).tensor_amax(), 5.25f);
  EXPECT_EQ(decoded(concatenate(halves, 0)), decoded(matrix));
  EXPECT_EQ(random_matrix(Format::parse("nvfp4"), 8, {1, 16}).tensor_scale(), 1.0f);
}

// The parts of an affine matrix [2, 64] with one of them replaced.
struct Parts {
  Tensor codes = Tensor::zeros(DType::kU32, {2, 8});
  Tensor scales = Tensor::zeros(DType::kF32, {2, 2});
  std::optional<Tensor> biases = Tensor::zeros(DType::kF32, {2, 2});
  std::optional<float> amax = {};

  void expect(const std::string& message, Format format = Format::parse("affine", 4, 32)) const {
    expect_error(ErrorKind::kCheckpoint, message, [&] {
      QuantizedMatrix::make("layers.3.mlp.up", format, {codes, scales, biases, amax});
    });
  }
};

TEST(QuantizedMatrix, MakeNamesWhatIsWrong) {
  Parts{.codes = Tensor::zeros(DType::kI32, {2, 8})}.expect(
      "layers.3.mlp.up.weight: packed codes are U32, found I32");
  Parts{.codes = Tensor::zeros(DType::kF32, {2, 64})}.expect("packed codes are U32, found F32");
  Parts{.codes = Tensor::zeros(DType::kU32, {16})}.expect(
      "layers.3.mlp.up: weight [16] and scales [2, 2] must both have 2 or 3 axes");
  Parts{.codes = Tensor::zeros(DType::kU32, {1, 2, 8})}.expect("must both have 2 or 3 axes");
  Parts{.codes = Tensor::zeros(DType::kU32, {2, 16})}.expect(
      "layers.3.mlp.up.weight: shape [2, 8] expected for affine (4 bits, groups of 32) with scales "
      "[2, 2], found [2, 16]; is the format right?");
  Parts{.codes = Tensor::zeros(DType::kU32, {3, 8})}.expect("found [3, 8]; is the format right?");
  Parts{.scales = Tensor::zeros(DType::kU8, {2, 2})}.expect(
      "layers.3.mlp.up.scales: mode affine has floating scales, found U8");
  Parts{.biases = std::nullopt}.expect("layers.3.mlp.up.biases: missing, mode affine needs them");
  Parts{.biases = Tensor::zeros(DType::kBF16, {2, 2})}.expect(
      "layers.3.mlp.up.biases: BF16 [2, 2] does not match the scales, F32 [2, 2]");
  Parts{.biases = Tensor::zeros(DType::kF32, {2, 1})}.expect("biases: F32 [2, 1] does not match");
  Parts{.scales = Tensor::zeros(DType::kF32, {0, int64_t{1} << 57})}.expect(
      "layers.3.mlp.up.scales: shape [0, 144115188075855872] is too large for affine");
  Parts{.scales = Tensor::empty(DType::kU8, {1 << 28, 1 << 28}, Device::meta())}.expect(
      "is too large for affine");
  Parts{.amax = 1.0f}.expect("only nvfp4 has a scale of the whole tensor, not affine");
  Parts{}.expect("is the format right?", Format::parse("affine", 8, 32));
  Parts{}.expect("is the format right?", Format::parse("affine", 4, 64));
  Parts{}.expect("layers.3.mlp.up.biases: present, but mode mxfp4 has none",
                 Format::parse("mxfp4"));
  Parts{.biases = std::nullopt}.expect(
      "layers.3.mlp.up.scales: mode mxfp4 has U8 scales, found F32", Format::parse("mxfp4"));
}

// mxfp4 in groups of 32 and nvfp4 in groups of 16 have codes of one shape; the scales tell.
TEST(QuantizedMatrix, TellsFormatsOfOneWidthApart) {
  const QuantizedMatrix mxfp4 = random_matrix(Format::parse("mxfp4"), 9, {2, 64});
  expect_error(ErrorKind::kCheckpoint, "is the format right?", [&] {
    QuantizedMatrix::make("w", Format::parse("nvfp4"), {mxfp4.codes(), mxfp4.scales()});
  });
  expect_error(ErrorKind::kCheckpoint, "floating scales, found U8", [&] {
    QuantizedMatrix::make("w", Format::parse("affine", 4, 32), {mxfp4.codes(), mxfp4.scales()});
  });
}

TEST(QuantizedMatrix, MakeChecksTheTensorScale) {
  const QuantizedMatrix matrix = random_matrix(Format::parse("nvfp4"), 10, {1, 16});
  for (const float amax : {0.0f, -1.0f, kNan, std::numeric_limits<float>::infinity()})
    expect_error(ErrorKind::kCheckpoint, "w: the tensor's largest magnitude is", [&] {
      QuantizedMatrix::make("w", matrix.format(),
                            {matrix.codes(), matrix.scales(), std::nullopt, amax});
    });
}

TEST(QuantizedMatrix, FindsScalesThatAreNotNumbers) {
  const Format affine = Format::parse("affine", 4, 32);
  const Tensor codes = Tensor::zeros(DType::kU32, {1, 8});
  const auto check = [&](const std::vector<float>& scales, const std::vector<float>& biases) {
    QuantizedMatrix::make("w", affine,
                          {codes, tensor_of<Bf16>(scales, {1, 2}), tensor_of<Bf16>(biases, {1, 2})})
        .require_finite_scales("w");
  };
  check({1, 2}, {3, 4});
  expect_error(ErrorKind::kCheckpoint, "w.scales: element 1 is nan", [&] {
    check({1, kNan}, {3, 4});
  });
  expect_error(ErrorKind::kCheckpoint, "w.biases: element 0 is inf", [&] {
    check({1, 2}, {std::numeric_limits<float>::infinity(), 4});
  });
  const auto check_mx = [&](uint8_t byte) {
    QuantizedMatrix::make("w", Format::parse("mxfp4"),
                          {codes, integers<uint8_t>({127, byte}, {1, 2})})
        .require_finite_scales("w");
  };
  check_mx(254);
  expect_error(ErrorKind::kCheckpoint, "w.scales: byte 1 is 255, which is not a finite scale",
               [&] { check_mx(255); });
}

}  // namespace
}  // namespace strake
