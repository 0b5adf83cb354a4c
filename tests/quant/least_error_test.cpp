// The default encoder: in no group worse than either of MLX's rules.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "golden_inputs.h"
#include "io/expect_error.h"
#include "quant/codecs.h"
#include "quant/quantization_error.h"
#include "tensors.h"

namespace strake {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Squared error of each group in float64; infinite where a value is not finite.
std::vector<double> group_errors(const Tensor& weight, const QuantizedMatrix& matrix) {
  const auto expected = floats(weight);
  const auto found = floats(dequantize(matrix, DType::kF32));
  const auto size = static_cast<size_t>(matrix.format().group_size());
  std::vector<double> errors(expected.size() / size);
  for (size_t i = 0; i < expected.size(); ++i) {
    const double difference = static_cast<double>(found[i]) - static_cast<double>(expected[i]);
    errors[i / size] += difference * difference;
  }
  for (double& error : errors)
    if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
  return errors;
}

// Errors are sums of float64 in another order than the encoder's.
constexpr double kRounding = 1 + 1e-14;

void expect_never_worse(const Tensor& weight, Format format, std::optional<float> amax) {
  const auto errors = [&](Encoder encoder) {
    return group_errors(weight, quantize(weight, format, encoder, amax));
  };
  const auto least = errors(Encoder::kLeastError);
  const auto nearest = errors(Encoder::kMlx);
  const auto ceiling = errors(Encoder::kMlxCeil);
  for (size_t i = 0; i < least.size(); ++i) {
    ASSERT_TRUE(std::isfinite(least[i])) << "group " << i;
    ASSERT_LE(least[i], std::min(nearest[i], ceiling[i]) * kRounding) << "group " << i;
  }
}

template <class T>
void expect_never_worse_for() {
  for (size_t kind = 0; kind < golden::kKinds.size(); ++kind) {
    if (golden::kKinds[kind] == "any") continue;  // has NaN
    const Tensor weight = golden::inputs<T>(kind);
    for (const Format format : Format::all()) {
      SCOPED_TRACE(format.to_string() + ", " + std::string(golden::kKinds[kind]));
      expect_never_worse(weight, format, std::nullopt);
      if (format.mode() == Mode::kNvfp4)
        for (const float amax : {0.01f, 3.0f, 1e4f, 1e30f})
          expect_never_worse(weight, format, amax);
    }
  }
}

TEST(LeastError, IsNeverWorseThanMlxInF32) { expect_never_worse_for<float>(); }
TEST(LeastError, IsNeverWorseThanMlxInF16) { expect_never_worse_for<F16>(); }
TEST(LeastError, IsNeverWorseThanMlxInBf16) { expect_never_worse_for<Bf16>(); }

// Against every scale byte there is, with elements rounded to the nearest.
template <class Decode>
double least_over_all_bytes(std::span<const float> values, std::span<const float> elements,
                            const Decode& decode) {
  double least = std::numeric_limits<double>::infinity();
  for (int byte = 0; byte < 256; ++byte) {
    const float scale = decode(static_cast<uint8_t>(byte));
    double error = 0;
    for (const float value : values) {
      double nearest = std::numeric_limits<double>::infinity();
      for (const float element : elements) {
        const double distance = static_cast<double>(element * scale) - static_cast<double>(value);
        if (distance * distance < nearest) nearest = distance * distance;
      }
      error += nearest;
    }
    least = std::min(least, error);
  }
  return least;
}

TEST(LeastError, FindsTheBestScaleByteOfAll) {
  std::vector<float> elements;
  for (uint32_t code = 0; code < 16; ++code) elements.push_back(E2M1::decode(code));
  for (const std::string_view mode : {"mxfp4", "nvfp4"}) {
    const Format format = Format::parse(mode);
    const auto decode = [&](uint8_t byte) {
      return format.mode() == Mode::kNvfp4 ? E4M3::decode(byte) : E8M0::decode(byte);
    };
    for (const float magnitude : {0x1p-7f, 0x1p-3f, 1.0f, 300.0f}) {
      std::vector<float> values = floats(random_weight(11, {8, 64}));
      for (size_t i = 0; i < values.size(); ++i)
        values[i] *= i % 50 == 0 ? 4 * magnitude : magnitude;
      const Tensor weight = tensor_of(values, {8, 64});
      const auto errors = group_errors(weight, quantize(weight, format, Encoder::kLeastError));
      const auto size = static_cast<size_t>(format.group_size());
      for (size_t group = 0; group < errors.size(); ++group) {
        const double best =
            least_over_all_bytes(std::span(values).subspan(group * size, size), elements, decode);
        EXPECT_LE(errors[group], best * kRounding) << mode << ", group " << group;
      }
    }
  }
}

TEST(LeastError, KeepsGroupsOfOnes) {
  const Tensor ones = tensor_of(std::vector<float>(128, 1.0f), {1, 128});
  for (const Format format : Format::all())
    EXPECT_THAT(floats(dequantize(quantize(ones, format, Encoder::kLeastError), DType::kF32)),
                Each(1.0f))
        << format.to_string();
}

TEST(LeastError, KeepsZeros) {
  const Tensor zeros = Tensor::zeros(DType::kBF16, {2, 128});
  for (const Format format : Format::all()) {
    const QuantizedMatrix matrix = quantize(zeros, format, Encoder::kLeastError);
    EXPECT_THAT(floats(dequantize(matrix, DType::kF32)), Each(0.0f)) << format.to_string();
    matrix.require_finite_scales("zeros");
  }
}

// What a format holds exactly, it keeps: quantizing what was dequantized changes nothing.
TEST(LeastError, KeepsValuesOfItsOwn) {
  for (const Format format : Format::all()) {
    if (format.has_biases()) continue;
    for (const Encoder encoder : {Encoder::kLeastError, Encoder::kMlx}) {
      const Tensor once =
          dequantize(quantize(random_weight(12, {16, 128}), format, encoder), DType::kF32);
      EXPECT_EQ(floats(dequantize(quantize(once, format, Encoder::kLeastError), DType::kF32)),
                floats(once))
          << format.to_string();
    }
  }
}

TEST(LeastError, AffineKeepsAnExactLadder) {
  int ladders = 0;
  for (const Format format : Format::all()) {
    const int levels = 1 << format.bits();
    if (!format.has_biases() || levels > format.group_size()) continue;
    ++ladders;
    std::vector<float> values;
    for (int i = 0; i < 128; ++i)
      values.push_back(-0.5f + 0.03125f * static_cast<float>(i * 7 % levels));
    const Tensor weight = tensor_of<Bf16>(values, {1, 128});
    EXPECT_EQ(floats(dequantize(quantize(weight, format, Encoder::kLeastError), DType::kF32)),
              values)
        << format.to_string();
  }
  EXPECT_EQ(ladders, 14);
}

// Codes beyond what e8m0 or e4m3 scales reach, and ranges that overflow float32.
TEST(LeastError, StaysFiniteAtTheEndsOfTheRange) {
  const float max = std::numeric_limits<float>::max();
  for (const float magnitude : {max, 3e38f, 1e-38f, 1e-40f, 1e-45f}) {
    std::vector<float> values(128);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = (i % 2 == 0 ? 1.0f : -1.0f) * (i % 3 == 0 ? magnitude : magnitude / 2);
    const Tensor weight = tensor_of(values, {1, 128});
    for (const Format format : Format::all()) {
      SCOPED_TRACE(format.to_string() + ", " + std::to_string(magnitude));
      const QuantizedMatrix matrix = quantize(weight, format, Encoder::kLeastError);
      matrix.require_finite_scales("w");
      for (const float value : floats(dequantize(matrix, DType::kF32)))
        EXPECT_TRUE(std::isfinite(value));
      expect_never_worse(weight, format, std::nullopt);
    }
  }
}

TEST(LeastError, NamesTheElementThatIsNotFinite) {
  std::vector<float> values(3 * 128, 1.0f);
  values[2 * 128 + 77] = kNan;
  for (const Format format : Format::all()) {
    expect_error(ErrorKind::kUsage, "row 2, column 77 is nan", [&] {
      quantize(tensor_of<Bf16>(values, {3, 128}), format, Encoder::kLeastError);
    });
    expect_error(ErrorKind::kUsage, "expert 2, row 0, column 77 is nan", [&] {
      quantize(tensor_of(values, {3, 1, 128}), format, Encoder::kLeastError);
    });
  }
  values[5] = -kInf;
  expect_error(ErrorKind::kUsage, "row 0, column 5 is -inf", [&] {
    quantize(tensor_of<F16>(values, {3, 128}), Format::parse("mxfp8"), Encoder::kLeastError);
  });
}

TEST(QuantizationError, IsTheMeanOfTheSquares) {
  // mxfp4's steps between 4 and 6: 5 is off by 1.
  std::vector<float> values(32, 0.0f);
  values[0] = 6;
  values[1] = 5;
  const Tensor weight = tensor_of(values, {1, 32});
  const QuantizationError error =
      quantization_error(weight, quantize(weight, Format::parse("mxfp4"), Encoder::kMlx));
  EXPECT_DOUBLE_EQ(error.mean_squared, 1.0 / 32);
  EXPECT_DOUBLE_EQ(error.relative, 1.0 / 61);
  const Tensor zeros = Tensor::zeros(DType::kF32, {1, 32});
  const QuantizationError none =
      quantization_error(zeros, quantize(zeros, Format::parse("mxfp4"), Encoder::kMlx));
  EXPECT_EQ(none.mean_squared, 0);
  EXPECT_EQ(none.relative, 0);
  expect_error(ErrorKind::kUsage, "a weight [2, 32] and a matrix [1, 32] differ in shape", [&] {
    quantization_error(Tensor::zeros(DType::kF32, {2, 32}),
                       quantize(zeros, Format::parse("mxfp4"), Encoder::kMlx));
  });
}

// mxfp8 alone gains nothing: the ceiling rule is the best one there.
TEST(QuantizationError, OfTheDefaultIsLessOnBellShapedWeights) {
  const Tensor weight = random_weight(13, {64, 512}).to(DType::kBF16);
  for (const Format format : Format::all()) {
    const auto error = [&](Encoder encoder) {
      return quantization_error(weight, quantize(weight, format, encoder)).mean_squared;
    };
    const double least = error(Encoder::kLeastError);
    if (format.mode() == Mode::kMxfp8)
      EXPECT_LE(least, error(Encoder::kMlxCeil));
    else
      EXPECT_LT(least, 0.96 * std::min(error(Encoder::kMlx), error(Encoder::kMlxCeil)))
          << format.to_string();
  }
}

}  // namespace
}  // namespace strake
