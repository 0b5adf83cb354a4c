#include "io/random_weights.h"

#include <gtest/gtest.h>

#include <cmath>

#include "strake/base/error.h"
#include "strake/quant/quantize.h"
#include "support/bits.h"

namespace strake {
namespace {

RandomWeights weights_in(const std::optional<Format>& format, Device device = Device::cpu()) {
  Json config = Json::object();
  if (format) config["quantization"] = format_json(*format);
  return {ModelConfig::parse(dump_json(config), "config"), device};
}

std::vector<std::optional<Format>> every_format() {
  std::vector<std::optional<Format>> formats(Format::all().begin(), Format::all().end());
  formats.emplace_back();
  return formats;
}

std::string name_of(const std::optional<Format>& format) {
  return format ? format->to_string() : "dense";
}

Tensor values_of(const Weight& weight) {
  return weight.dense() != nullptr ? weight.dense()->to(DType::kF32)
                                   : dequantize(*weight.quantized(), DType::kF32);
}

TEST(RandomWeights, PartsAreThoseOfTheWhole) {
  const Shape shape{24, 512};
  for (const auto& format : every_format()) {
    RandomWeights weights = weights_in(format);
    const Tensor whole = values_of(weights.weight("layer", shape, std::nullopt));
    const Tensor rows[] = {whole.slice(0, 0, 5), whole.slice(0, 17, 24)};
    EXPECT_TRUE(same_bits(values_of(weights.weight("layer", shape, Cut{0, {{0, 5}, {17, 24}}})),
                          concatenate(rows, 0)))
        << name_of(format);
    const Tensor columns[] = {whole.slice(1, 128, 256), whole.slice(1, 384, 512)};
    for (const int axis : {1, -1})
      EXPECT_TRUE(
          same_bits(values_of(weights.weight("layer", shape, Cut{axis, {{128, 256}, {384, 512}}})),
                    concatenate(columns, 1)))
          << name_of(format);
    EXPECT_EQ(weights.weight("layer", shape, Cut{0, {}}).shape(), (Shape{0, 512}));
  }
}

TEST(RandomWeights, PartsOfStackedExperts) {
  const Shape shape{3, 4, 128};
  RandomWeights weights = weights_in(Format::parse("mxfp4"));
  const Tensor whole = values_of(weights.weight("experts", shape, std::nullopt));
  for (const auto& [axis, range] :
       {std::pair{0, Range{1, 3}}, {1, Range{1, 2}}, {2, Range{32, 96}}})
    EXPECT_TRUE(same_bits(values_of(weights.weight("experts", shape, Cut{axis, {range}})),
                          whole.slice(axis, range.begin, range.end)))
        << axis;
}

TEST(RandomWeights, NamesDecideTheValues) {
  RandomWeights weights = weights_in(Format::parse("mxfp8"));
  const Shape shape{8, 64};
  const Tensor one = values_of(weights.weight("one", shape, std::nullopt));
  EXPECT_TRUE(same_bits(values_of(weights.weight("one", shape, std::nullopt)), one));
  EXPECT_FALSE(same_bits(values_of(weights.weight("two", shape, std::nullopt)), one));
}

// Mean 0 and deviation 1 / sqrt(inputs), within what rounding the scale to a power of two allows.
TEST(RandomWeights, KeepActivationsInRange) {
  for (const auto& format : every_format())
    for (const int64_t inputs : {256, 4096}) {
      RandomWeights weights = weights_in(format);
      const Tensor tensor = values_of(weights.weight("layer", {64, inputs}, std::nullopt));
      double sum = 0, squares = 0;
      for (const float value : tensor.data<float>()) {
        sum += value;
        squares += value * value;
      }
      const auto count = static_cast<double>(tensor.elements());
      const double expected = 1 / std::sqrt(static_cast<double>(inputs));
      const double deviation = std::sqrt(squares / count);
      EXPECT_GT(deviation, 0.65 * expected) << name_of(format);
      EXPECT_LT(deviation, 1.5 * expected) << name_of(format);
      // Five deviations of a mean of so many, and affine's middle, which bfloat16 rounds.
      EXPECT_LT(std::abs(sum / count), (5 / std::sqrt(count) + 0.01) * expected) << name_of(format);
    }
}

TEST(RandomWeights, NormsAreOneAndBiasesZero) {
  RandomWeights weights = weights_in(std::nullopt);
  const Tensor norm = weights.tensor("model.norm.weight", {3}, std::nullopt).to(DType::kF32);
  EXPECT_EQ(norm.data<float>()[2], 1.0f);
  const Tensor bias = weights.tensor("q_proj.bias", {5}, Cut{0, {{1, 3}}}).to(DType::kF32);
  EXPECT_EQ(bias.shape(), Shape{2});
  EXPECT_EQ(bias.data<float>()[1], 0.0f);
}

TEST(RandomWeights, StayDenseWhereInputsAreNotWholeGroups) {
  RandomWeights weights = weights_in(Format::parse("mxfp8"));
  EXPECT_FALSE(weights.weight("odd", {4, 40}, std::nullopt).format());
  EXPECT_TRUE(weights.weight("even", {4, 64}, std::nullopt).format());
  EXPECT_THROW(weights.weight("even", {4, 64}, Cut{1, {{0, 16}}}), Error);
}

TEST(RandomWeights, AreNotMadeForAPlan) {
  for (const auto& format : every_format()) {
    RandomWeights weights = weights_in(format, Device::meta());
    const Weight plan = weights.weight("huge", {1 << 20, 1 << 20}, Cut{0, {{0, 1 << 19}}});
    EXPECT_EQ(plan.shape(), (Shape{1 << 19, 1 << 20}));
    EXPECT_EQ(plan.format(), format);
    EXPECT_EQ(plan.device(), Device::meta());
  }
}

}  // namespace
}  // namespace strake
