#include "io/checkpoint.h"

#include <gmock/gmock.h>

#include <limits>

#include "checkpoint_builder.h"
#include "expect_error.h"
#include "support/bits.h"
#include "support/weights.h"

namespace strake {
namespace {

const std::string kModule = "model.layers.3.mlp.up_proj";

// What config.json must say about a weight; nothing about a dense one.
Json quantization(const WeightKind& kind) {
  return kind.format ? format_json(*kind.format) : Json(nullptr);
}

CheckpointBuilder one_module(const WeightKind& kind, const Weight& weight) {
  CheckpointBuilder builder;
  builder.config["quantization"] = quantization(kind);
  builder.add_weight(kModule, weight);
  return builder;
}

Tensor joined(const Tensor& values, const Cut& cut) {
  std::vector<Tensor> parts{values.slice(cut.axis, 0, 0)};
  for (const Range range : cut.ranges)
    parts.push_back(values.slice(cut.axis, range.begin, range.end));
  return concatenate(parts, cut.axis);
}

TEST(Checkpoint, ReadsCutsOfEveryKindOfWeight) {
  for (const WeightKind& kind : all_weight_kinds()) {
    SCOPED_TRACE(kind.name);
    const int64_t g = kind.group();
    const Weight weight = kind.make(1, {3, 6, 4 * g});
    const CheckpointBuilder builder = one_module(kind, weight);
    const Tensor values = values_of(weight);
    Checkpoint whole = builder.open();
    const Weight all = whole.weight(kModule, weight.shape());
    EXPECT_EQ(all.format(), kind.format);
    EXPECT_TRUE(same_bits(values_of(all), values));
    EXPECT_EQ(whole.bytes_read(), weight.nbytes());
    for (const Cut& cut :
         {Cut{0, {{1, 3}}}, Cut{0, {{0, 1}, {2, 3}}}, Cut{1, {{0, 6}}}, Cut{1, {{2, 3}, {4, 6}}},
          Cut{1, {}}, Cut{2, {{0, g}}}, Cut{2, {{g, 3 * g}}}, Cut{2, {{0, g}, {2 * g, 4 * g}}},
          Cut{-1, {{3 * g, 4 * g}}}, Cut{2, {}}}) {
      Checkpoint checkpoint = builder.reopen();
      const Weight part = checkpoint.weight(kModule, weight.shape(), cut);
      EXPECT_EQ(part.format(), kind.format);
      EXPECT_TRUE(same_bits(values_of(part), joined(values, cut)));
      EXPECT_EQ(checkpoint.bytes_read(), part.nbytes());
      checkpoint.require_all_used();
    }
  }
}

TEST(Checkpoint, ReadsMatricesAndLoneTensors) {
  for (const WeightKind& kind : all_weight_kinds()) {
    const Weight weight = kind.make(1, {6, 2 * kind.group()});
    CheckpointBuilder builder = one_module(kind, weight);
    const Tensor bias = random_weight(2, {1, 6}).reshape({6}).to(DType::kF16);
    builder.add(kModule + ".bias", bias);
    Checkpoint checkpoint = builder.open();
    EXPECT_TRUE(
        same_bits(values_of(checkpoint.weight(kModule, weight.shape())), values_of(weight)));
    EXPECT_TRUE(same_bits(checkpoint.tensor(kModule + ".bias", {6}, Cut{0, {{1, 2}, {4, 6}}}),
                          joined(bias, {0, {{1, 2}, {4, 6}}})));
  }
}

TEST(Checkpoint, OnMetaKnowsEverythingAndReadsNothing) {
  for (const WeightKind& kind : all_weight_kinds()) {
    SCOPED_TRACE(kind.name);
    const int64_t g = kind.group();
    const Weight weight = kind.make(1, {6, 4 * g});
    Checkpoint checkpoint = one_module(kind, weight).open(Device::meta());
    const Weight all = checkpoint.weight(kModule, weight.shape());
    EXPECT_EQ(all.device(), Device::meta());
    EXPECT_EQ(all.format(), kind.format);
    EXPECT_EQ(all.shape(), weight.shape());
    EXPECT_EQ(all.nbytes(), weight.nbytes());
    const Weight part =
        checkpoint.weight(kModule, weight.shape(), Cut{1, {{0, g}, {2 * g, 3 * g}}});
    EXPECT_EQ(part.shape(), (Shape{6, 2 * g}));
    EXPECT_EQ(part.nbytes(), weight.nbytes() / 2);
    EXPECT_EQ(checkpoint.bytes_read(), 0);
  }
}

// The mistake that this type exists for: whatever config.json says, and whatever the tensors are,
// they agree or it is an error.
TEST(Checkpoint, FindsEveryContradictionBetweenConfigAndTensors) {
  const Shape shape{6, 256};
  for (const Format stored : Format::all()) {
    const WeightKind kind{stored.to_string(), stored};
    CheckpointBuilder builder = one_module(kind, kind.make(1, shape));
    builder.open();
    for (const Format said : Format::all()) {
      if (said == stored) continue;
      SCOPED_TRACE("stored " + stored.to_string() + ", said " + said.to_string());
      builder.config["quantization"] = format_json(said);
      for (const Device device : {Device::cpu(), Device::meta()})
        expect_error(ErrorKind::kCheckpoint, kModule, [&] {
          Checkpoint checkpoint = builder.reopen(device);
          checkpoint.weight(kModule, shape);
        });
    }
  }
}

// One affine module [6, 128] of 8 bits in groups of 32, to be spoilt.
class SpoiltCheckpoint : public testing::Test {
 protected:
  void expect_refused(const std::string& part, ErrorKind kind = ErrorKind::kCheckpoint) {
    expect_error(kind, part, [&] {
      Checkpoint checkpoint = builder_.open();
      checkpoint.weight(kModule, shape_);
      checkpoint.require_all_used();
    });
  }
  void store(Format format) {
    for (const char* part : {".weight", ".scales", ".biases"}) builder_.remove(kModule + part);
    builder_.add_weight(kModule, quantize(random_weight(1, shape_), format, Encoder::kMlx));
  }
  void say(Format format) { builder_.config["quantization"] = format_json(format); }
  // One element of a tensor replaced.
  template <class T>
  void spoil(const std::string& name, size_t at, T value) {
    const Tensor parts[] = {builder_.tensor(name)};
    Tensor copy = concatenate(parts, 0);
    copy.mutable_data<T>()[at] = value;
    builder_.add(name, copy);
  }

  const Shape shape_{6, 128};
  const Format affine_ = Format::parse("affine", 8, 32);
  CheckpointBuilder builder_ =
      one_module({"affine", affine_}, quantize(random_weight(1, shape_), affine_, Encoder::kMlx));
};

TEST_F(SpoiltCheckpoint, IsSoundToBeginWith) {
  Checkpoint checkpoint = builder_.open();
  checkpoint.weight(kModule, shape_);
  EXPECT_NO_THROW(checkpoint.require_all_used());
}

TEST_F(SpoiltCheckpoint, NamesModuleAndFormatsThatContradict) {
  say(Format::parse("mxfp8"));
  expect_refused(kModule + ".biases: present, but mode mxfp8 has none");
  builder_.remove(kModule + ".biases");
  expect_refused(kModule + ".scales: mode mxfp8 has U8 scales, found F32");
  store(Format::parse("mxfp8"));
  say(affine_);
  expect_refused(kModule + ".scales: mode affine has floating scales, found U8");
  store(affine_);
  say(Format::parse("affine", 4, 32));
  expect_refused(kModule +
                 ".weight: config.json says affine (4 bits, groups of 32): shape [6, 16] "
                 "expected, found [6, 32]");
  say(Format::parse("affine", 8, 64));
  expect_refused(kModule + ".scales: shape [6, 2] expected, found [6, 4]");
}

TEST_F(SpoiltCheckpoint, NeedsEveryPart) {
  builder_.remove(kModule + ".biases");
  expect_refused(kModule + ".biases: missing, mode affine needs them");
  builder_.remove(kModule + ".scales");
  builder_.config["quantization"][kModule] = true;
  expect_refused(kModule +
                 ": config.json says affine (8 bits, groups of 32), but there is no "
                 "tensor " +
                 kModule + ".scales");
  store(affine_);
  builder_.remove(kModule + ".weight");
  expect_refused(kModule + ".weight: missing from the weights in ");
  store(affine_);
  builder_.remove(kModule + ".scales");
  builder_.config.erase("quantization");
  expect_refused(kModule + ": there is a tensor " + kModule + ".biases, but no " + kModule +
                 ".scales");
}

TEST_F(SpoiltCheckpoint, NeedsAConfigThatSpeaksOfTheScales) {
  builder_.config.erase("quantization");
  expect_refused(kModule + ": there is a tensor " + kModule +
                 ".scales, but config.json says that it is not quantized");
  say(affine_);
  builder_.config["quantization"][kModule] = false;
  expect_refused(kModule + ": there is a tensor " + kModule + ".scales");
}

TEST_F(SpoiltCheckpoint, ChecksDtypesAndShapes) {
  const auto replace = [&](const std::string& part, const Tensor& tensor) {
    store(affine_);
    builder_.add(kModule + part, tensor);
  };
  replace(".weight", Tensor::zeros(DType::kI32, {6, 32}));
  expect_refused(kModule + ".weight: packed codes are U32, found I32");
  replace(".weight", Tensor::zeros(DType::kU32, {6, 31}));
  expect_refused(kModule +
                 ".weight: config.json says affine (8 bits, groups of 32): shape [6, 32] "
                 "expected, found [6, 31]");
  replace(".weight", Tensor::zeros(DType::kU32, {192}));
  expect_refused("shape [6, 32] expected, found [192]");
  replace(".scales", Tensor::zeros(DType::kF32, {5, 4}));
  expect_refused(kModule + ".scales: shape [6, 4] expected, found [5, 4]");
  replace(".biases", Tensor::zeros(DType::kF32, {6, 3}));
  expect_refused(kModule + ".biases: shape [6, 4] expected, found [6, 3]");
  replace(".biases", Tensor::zeros(DType::kBF16, {6, 4}));
  expect_refused(kModule + ".biases: BF16 [6, 4] does not match the scales, F32 [6, 4]");
  replace(".scales", Tensor::zeros(DType::kI64, {6, 4}));
  expect_refused(kModule + ".scales: mode affine has floating scales, found I64");
}

TEST_F(SpoiltCheckpoint, FindsScalesThatAreNotNumbers) {
  spoil<float>(kModule + ".scales", 7, std::numeric_limits<float>::quiet_NaN());
  expect_refused(kModule + ".scales: element 7 is nan");
  store(affine_);
  spoil<float>(kModule + ".biases", 23, -std::numeric_limits<float>::infinity());
  expect_refused(kModule + ".biases: element 23 is -inf");
  say(Format::parse("mxfp8"));
  store(Format::parse("mxfp8"));
  spoil<uint8_t>(kModule + ".scales", 3, 255);
  expect_refused(kModule + ".scales: byte 3 is 255");
  say(Format::parse("nvfp4"));
  store(Format::parse("nvfp4"));
  spoil<uint8_t>(kModule + ".scales", 9, 0x7f);  // 480 for MLX, no NaN
  Checkpoint checkpoint = builder_.open();
  EXPECT_NO_THROW(checkpoint.weight(kModule, shape_));
}

TEST_F(SpoiltCheckpoint, NeedsInputsOfWholeGroups) {
  Checkpoint checkpoint = builder_.open();
  expect_error(ErrorKind::kCheckpoint,
               kModule +
                   ": config.json says affine (8 bits, groups of 32), but 100 inputs are not "
                   "whole groups",
               [&] {
                 checkpoint.weight(kModule, {6, 100});
               });
}

TEST_F(SpoiltCheckpoint, RefusesCutsThatItCannotMake) {
  Checkpoint checkpoint = builder_.open();
  for (const Cut& cut : {Cut{1, {{0, 16}}}, Cut{1, {{16, 64}}}, Cut{-1, {{0, 32}, {64, 100}}}})
    expect_error(ErrorKind::kUsage, "are not whole groups of 32",
                 [&] { checkpoint.weight(kModule, shape_, cut); });
  for (const Cut& cut : {Cut{1, {{0, 256}}}, Cut{0, {{5, 7}}}, Cut{0, {{-1, 2}}}, Cut{0, {{4, 2}}}})
    expect_error(ErrorKind::kUsage, "slice [", [&] { checkpoint.weight(kModule, shape_, cut); });
}

TEST_F(SpoiltCheckpoint, NamesTensorsThatTheModelHasNoPlaceFor) {
  builder_.add(kModule + ".bias", Tensor::zeros(DType::kF32, {6}));
  expect_refused("the model has no place for 1 of its tensors: " + kModule + ".bias");
  {
    Checkpoint checkpoint = builder_.open();
    checkpoint.weight(kModule, shape_);
    checkpoint.ignore(kModule + ".bias");
    EXPECT_NO_THROW(checkpoint.require_all_used());
  }
  for (int i = 0; i < 7; ++i)
    builder_.add("extra." + std::to_string(i), Tensor::zeros(DType::kF32, {1}));
  expect_refused(
      "no place for 8 of its tensors: extra.0, extra.1, extra.2, extra.3, extra.4 and 3 "
      "more");
}

TEST_F(SpoiltCheckpoint, NamesOverridesThatMatchNothing) {
  for (const Json& value : {Json(true), Json(false), Json({{"bits", 4}})}) {
    builder_.config["quantization"] = format_json(affine_);
    builder_.config["quantization"]["model.layers.3.mlp.upproj"] = value;
    expect_refused("quantization: no module is called model.layers.3.mlp.upproj");
  }
}

TEST_F(SpoiltCheckpoint, ReadsDenseTensorsOfTheRightShapeAndType) {
  builder_.add("norm.weight", Tensor::zeros(DType::kF32, {6}));
  builder_.add("counts", Tensor::zeros(DType::kI32, {6}));
  Checkpoint checkpoint = builder_.open();
  const auto refused = [&](const std::string& part, const std::string& name, const Shape& shape) {
    expect_error(ErrorKind::kCheckpoint, part, [&] { checkpoint.tensor(name, shape); });
  };
  EXPECT_EQ(checkpoint.tensor("norm.weight", {6}).dtype(), DType::kF32);
  refused("norm.weight: shape [7] expected, found [6]", "norm.weight", {7});
  refused("norm.weight: shape [1, 6] expected, found [6]", "norm.weight", {1, 6});
  refused("counts: F32, F16 or BF16 expected, found I32", "counts", {6});
  refused("norm.bias: missing from the weights in ", "norm.bias", {6});
  expect_error(ErrorKind::kCheckpoint, "norm.weight: shape [6, 1] expected, found [6]", [&] {
    checkpoint.weight("norm", {6, 1});
  });
}

}  // namespace
}  // namespace strake
