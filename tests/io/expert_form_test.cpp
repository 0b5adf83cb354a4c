// Stacks of experts in every form of file, whole and cut, each byte read once.
#include "io/expert_form.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "checkpoint_builder.h"
#include "expect_error.h"
#include "support/bits.h"
#include "support/weights.h"

namespace strake {
namespace {

constexpr int64_t kExperts = 3;
constexpr int64_t kWidth = 6;
const std::string kLayer = "model.layers.0.";

std::vector<WeightKind> some_kinds() {
  return {{"bf16", std::nullopt, DType::kBF16},
          {"f32", std::nullopt, DType::kF32},
          {"mxfp4", Format::parse("mxfp4")},
          {"affine", Format::parse("affine", 5, 32)}};
}

Weight matrix_of(const Weight& stack, int64_t expert) {
  const auto flat = [&](const Tensor& part) {
    return part.slice(0, expert, expert + 1).reshape({part.shape()[1], part.shape()[2]});
  };
  if (stack.dense() != nullptr) return flat(*stack.dense());
  const QuantizedMatrix& matrix = *stack.quantized();
  QuantizedParts parts{flat(matrix.codes()), flat(matrix.scales())};
  if (matrix.biases()) parts.biases = flat(*matrix.biases());
  return QuantizedMatrix::make("matrix", matrix.format(), std::move(parts));
}

Weight cut_of(const Weight& weight, const Cut& cut) {
  std::vector<Weight> parts;
  for (const Range range : cut.ranges)
    parts.push_back(weight.slice(cut.axis, range.begin, range.end));
  if (parts.empty()) return weight.slice(cut.axis, 0, 0);
  if (parts.size() == 1) return parts[0];
  if (weight.dense() != nullptr) {
    std::vector<Tensor> tensors;
    for (const Weight& part : parts) tensors.push_back(*part.dense());
    return concatenate(tensors, cut.axis);
  }
  std::vector<QuantizedMatrix> matrices;
  for (const Weight& part : parts) matrices.push_back(*part.quantized());
  return concatenate(matrices, cut.axis);
}

// Cuts of each axis of [experts, out, in], some in two pieces, and nothing at all.
std::vector<std::optional<Cut>> cuts(const Shape& shape, int64_t unit) {
  return {std::nullopt,
          Cut{0, {{1, 3}}},
          Cut{0, {{0, 1}, {2, 3}}},
          Cut{0, {}},
          Cut{1, {{1, shape[1] - 2}}},
          Cut{1, {{0, 1}, {3, 5}}},
          Cut{1, {}},
          Cut{2, {{unit, shape[2]}}},
          Cut{2, {}}};
}

// The three stacks that the model asks for, and what they are.
struct Stacks {
  std::string parent;
  std::map<std::string, Weight> weights;  // by projection
  int64_t unit;

  Stacks(std::string path, const WeightKind& kind) : parent(std::move(path)), unit(kind.group()) {
    const Shape out{kExperts, kWidth * unit, 2 * unit};
    weights.emplace("gate_proj", kind.make(1, out));
    weights.emplace("up_proj", kind.make(2, out));
    weights.emplace("down_proj", kind.make(3, {kExperts, 2 * unit, kWidth * unit}));
  }

  void expect_read(const CheckpointBuilder& builder) const {
    for (const auto& cut : cuts({kExperts, 2 * unit, 2 * unit}, unit))
      for (const Device device : {Device::cpu(), Device::meta()}) {
        Checkpoint checkpoint = builder.reopen(device);
        int64_t bytes = 0;
        for (const auto& [name, weight] : weights) {
          SCOPED_TRACE(name);
          const Weight expected = cut ? cut_of(weight, *cut) : weight;
          EXPECT_EQ(checkpoint.format(parent + "." + name, weight.shape()[2]), weight.format());
          const Weight found = checkpoint.weight(parent + "." + name, weight.shape(), cut);
          EXPECT_EQ(found.shape(), expected.shape());
          EXPECT_EQ(found.nbytes(), expected.nbytes());
          bytes += expected.nbytes();
          if (device == Device::cpu() && found.shape().elements() > 0) {
            EXPECT_TRUE(same_bits(values_of(found), values_of(expected)));
          }
        }
        EXPECT_EQ(checkpoint.bytes_read(), device == Device::cpu() ? bytes : 0);
        if (!cut) checkpoint.require_all_used();
      }
  }
};

CheckpointBuilder builder_of(const WeightKind& kind) {
  CheckpointBuilder builder;
  if (kind.format) builder.config["quantization"] = format_json(*kind.format);
  return builder;
}

TEST(ExpertForm, StacksTensorsOfEachExpert) {
  const std::map<std::string, std::string> long_names{
      {"gate_proj", "gate_proj"}, {"up_proj", "up_proj"}, {"down_proj", "down_proj"}};
  const std::map<std::string, std::string> short_names{
      {"gate_proj", "w1"}, {"up_proj", "w3"}, {"down_proj", "w2"}};
  for (const WeightKind& kind : some_kinds())
    for (const auto& names : {long_names, short_names}) {
      SCOPED_TRACE(kind.name);
      const Stacks stacks(kLayer + "mlp.switch_mlp", kind);
      CheckpointBuilder builder = builder_of(kind);
      for (const auto& [name, weight] : stacks.weights)
        for (int64_t expert = 0; expert < kExperts; ++expert)
          builder.add_weight(
              kLayer + "mlp.experts." + std::to_string(expert) + "." + names.at(name),
              matrix_of(weight, expert));
      builder.open();
      stacks.expect_read(builder);
    }
}

TEST(ExpertForm, NamesTheExpertThatIsMissingOrUnlike) {
  const WeightKind kind = some_kinds()[0];
  const Stacks stacks(kLayer + "mlp.switch_mlp", kind);
  CheckpointBuilder builder;
  for (int64_t expert = 0; expert < kExperts; ++expert)
    builder.add_weight(kLayer + "mlp.experts." + std::to_string(expert) + ".gate_proj",
                       matrix_of(stacks.weights.at("gate_proj"), expert));
  const std::string name = kLayer + "mlp.experts.1.gate_proj.weight";
  const auto refused = [&](const std::string& part) {
    expect_error(ErrorKind::kCheckpoint, part, [&] {
      Checkpoint checkpoint = builder.open();
      checkpoint.weight(kLayer + "mlp.switch_mlp.gate_proj",
                        stacks.weights.at("gate_proj").shape());
    });
  };
  builder.add(name, builder.tensor(name).to(DType::kF32));
  refused("mlp.switch_mlp.gate_proj: BF16 of every expert expected, found F32");
  builder.remove(name);
  refused(name + ": missing from the weights");
}

TEST(ExpertForm, TakesGateAndUpFromOneTensor) {
  for (const WeightKind& kind : {some_kinds()[0], some_kinds()[1]}) {
    const Stacks stacks(kLayer + "mlp.switch_mlp", kind);
    CheckpointBuilder builder;
    const std::vector<Tensor> both{*stacks.weights.at("gate_proj").dense(),
                                   *stacks.weights.at("up_proj").dense()};
    builder.add(kLayer + "mlp.experts.gate_up_proj", concatenate(both, 1));
    builder.add(kLayer + "mlp.experts.down_proj", *stacks.weights.at("down_proj").dense());
    builder.open();
    stacks.expect_read(builder);
  }
}

// Elements of a and b in turn along an axis.
Tensor in_turn(const Tensor& a, const Tensor& b, int axis) {
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < a.shape()[axis]; ++i) {
    parts.push_back(a.slice(axis, i, i + 1));
    parts.push_back(b.slice(axis, i, i + 1));
  }
  return concatenate(parts, axis);
}

// Every matrix turned over.
Tensor turned(const Tensor& stack) {
  std::vector<Tensor> columns;
  const Shape& shape = stack.shape();
  for (int64_t i = 0; i < shape[2]; ++i)
    columns.push_back(stack.slice(2, i, i + 1).reshape({shape[0], 1, shape[1]}));
  return concatenate(columns, 1);
}

TEST(ExpertForm, TakesColumnsInTurn) {
  for (const WeightKind& kind : {some_kinds()[0], some_kinds()[1]}) {
    const Stacks stacks(kLayer + "mlp.experts", kind);
    const auto dense = [&](const char* name) { return *stacks.weights.at(name).dense(); };
    CheckpointBuilder builder;
    builder.add(kLayer + "mlp.experts.gate_up_proj",
                in_turn(turned(dense("gate_proj")), turned(dense("up_proj")), 2));
    builder.add(kLayer + "mlp.experts.down_proj", turned(dense("down_proj")));
    builder.open();
    stacks.expect_read(builder);
  }
}

TEST(ExpertForm, TakesBlocksWithRowsInTurn) {
  const WeightKind kind{"mxfp4", Format::parse("mxfp4")};
  const Stacks stacks(kLayer + "mlp.experts", kind);
  CheckpointBuilder builder;
  builder.config["quantization_config"] = {{"quant_method", "mxfp4"},
                                           {"modules_to_not_convert", {"lm_head"}}};
  const auto bytes = [&](const char* name) {
    const Tensor& codes = stacks.weights.at(name).quantized()->codes();
    Tensor result =
        Tensor::empty(DType::kU8, {kExperts, codes.shape()[1], codes.shape()[2] / 4, 16});
    std::ranges::copy(codes.bytes(), result.mutable_bytes().begin());
    return result;
  };
  const auto scales = [&](const char* name) {
    return stacks.weights.at(name).quantized()->scales();
  };
  builder.add(kLayer + "mlp.experts.gate_up_proj_blocks",
              in_turn(bytes("gate_proj"), bytes("up_proj"), 1));
  builder.add(kLayer + "mlp.experts.gate_up_proj_scales",
              in_turn(scales("gate_proj"), scales("up_proj"), 1));
  builder.add(kLayer + "mlp.experts.down_proj_blocks", bytes("down_proj"));
  builder.add(kLayer + "mlp.experts.down_proj_scales", scales("down_proj"));
  builder.open();
  stacks.expect_read(builder);
}

TEST(ExpertForm, TakesBiasesInTurn) {
  const Tensor gate = random_weight(1, {kExperts, kWidth}).to(DType::kBF16);
  const Tensor up = random_weight(2, {kExperts, kWidth}).to(DType::kBF16);
  const Tensor down = random_weight(3, {kExperts, 4}).to(DType::kBF16);
  CheckpointBuilder builder;
  for (const char* name : {"gate_up_proj", "down_proj"})
    builder.add(kLayer + "mlp.experts." + name, Tensor::zeros(DType::kBF16, {kExperts, 2, 2}));
  builder.add(kLayer + "mlp.experts.gate_up_proj_bias", in_turn(gate, up, 1));
  builder.add(kLayer + "mlp.experts.down_proj_bias", down);
  Checkpoint checkpoint = builder.open();
  const auto read = [&](const char* name, const Tensor& expected, std::optional<Cut> cut) {
    const Tensor found =
        checkpoint.tensor(kLayer + "mlp.experts." + name + ".bias", expected.shape(), cut);
    EXPECT_TRUE(same_bits(found, cut ? expected.slice(cut->axis, 1, 3) : expected)) << name;
  };
  for (const auto& cut :
       {std::optional<Cut>(), std::optional(Cut{0, {{1, 3}}}), std::optional(Cut{1, {{1, 3}}})}) {
    read("gate_proj", gate, cut);
    read("up_proj", up, cut);
    read("down_proj", down, cut);
  }
}

TEST(ExpertForm, RefusesBlocksThatConfigDenies) {
  CheckpointBuilder builder;
  builder.add(kLayer + "mlp.experts.down_proj_blocks", Tensor::zeros(DType::kU8, {1, 2, 1, 16}));
  builder.add(kLayer + "mlp.experts.down_proj_scales", Tensor::zeros(DType::kU8, {1, 2, 1}));
  const auto refused = [&](const std::string& part) {
    expect_error(ErrorKind::kCheckpoint, part, [&] {
      Checkpoint checkpoint = builder.open();
      checkpoint.weight(kLayer + "mlp.experts.down_proj", {1, 2, 32});
    });
  };
  refused("mlp.experts.down_proj: there is a tensor");
  builder.config["quantization"] = format_json(Format::parse("mxfp8"));
  refused("mlp.experts.down_proj: config.json says mxfp8");
}

}  // namespace
}  // namespace strake
