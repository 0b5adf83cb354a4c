// Models with experts: spread over ranks, and of modules in formats of their own.
#include "base/json.h"
#include "engine/convert.h"
#include "engine/generation.h"
#include "engine/plan.h"
#include "engine/verify.h"
#include "io/checkpoint_builder.h"
#include "reference.h"
#include "support/temporary_directory.h"
#include "support/weights.h"

namespace strake {
namespace {

namespace fs = std::filesystem;

constexpr int kRankCounts[] = {1, 2, 3, 4, 5, 8};

const std::vector<std::string> kModels = {"qwen3_moe",     "mixtral",  "gpt_oss",
                                          "gpt_oss-mxfp4", "glm4_moe", "minimax_m2"};

class Mixtures : public testing::TestWithParam<std::string> {
 protected:
  std::vector<int32_t> prompt() const { return ReferenceRun(GetParam()).prompts().at(2).ids; }

  void expect_equal(const fs::path& model, ExpertDivision experts) const {
    const VerifyOptions options{.decode_tokens = 2, .experts = experts};
    for (const Verification& result : verify({.model = model}, kRankCounts, prompt(), options))
      EXPECT_TRUE(result.equal) << result.ranks << " ranks: " << result.first_difference;
  }

  fs::path convert(const ConvertOptions& options, const std::string& name) const {
    convert_checkpoint(kReferences / GetParam(), directory_.path() / name, options);
    return directory_.path() / name;
  }

 private:
  TemporaryDirectory directory_;
};

INSTANTIATE_TEST_SUITE_P(Models, Mixtures, testing::ValuesIn(kModels), reference_name);

TEST_P(Mixtures, SpreadOverRanksHaveTheSameBits) {
  expect_equal(kReferences / GetParam(), ExpertDivision::kSpread);
  for (const char* mode : {"mxfp8", "mxfp4", "nvfp4", "affine"}) {
    SCOPED_TRACE(mode);
    expect_equal(convert({.format = Format::parse(mode)}, mode), ExpertDivision::kSpread);
  }
}

TEST_P(Mixtures, SplitOverRanksHaveTheSameBits) {
  for (const char* mode : {"mxfp4", "nvfp4"}) {
    SCOPED_TRACE(mode);
    expect_equal(convert({.format = Format::parse(mode)}, mode), ExpertDivision::kSplit);
  }
}

double likelihood(const fs::path& model, const Json& reference) {
  const auto group = make_solo_group();
  Session session(*group, Shares::equal(1), {.model = model, .activations = DType::kF32});
  const auto ids = reference.at("validation").at(0).at("ids").get<std::vector<int32_t>>();
  return score(session.context(), session.model(), ids).mean();
}

// The very values of a checkpoint's weights, in float32: bfloat16 would round those of affine
// codes, whose sums with a bias are long.
CheckpointBuilder values_in_float32(const fs::path& model) {
  CheckpointBuilder values;
  Checkpoint source = Checkpoint::open(model);
  values.config = source.config().json();
  for (const char* field : {"quantization", "quantization_config"}) values.config.erase(field);
  for (const PlannedModule& planned : make_plan(model, Shares::equal(1)).modules) {
    const std::string& path = planned.module.path;
    const Shape& shape = planned.module.shape;
    if (planned.module.kind == ModuleKind::kOther) {
      values.add(path, source.tensor(path, shape));
      continue;
    }
    values.add(path + ".weight", values_of(source.weight(path, shape)));
    if (planned.module.bias == Bias::kNone) continue;
    const auto extents = shape.extents();
    values.add(path + ".bias",
               source.tensor(path + ".bias", Shape({extents.begin(), extents.end() - 1})));
  }
  values.open();
  return values;
}

// Neighbours in other modes, group sizes and not quantized at all: what they say is what their
// values say, and ranks agree.
TEST_P(Mixtures, TakeEveryModuleInItsOwnFormat) {
  const ConvertOptions options{.format = Format::parse("mxfp4"),
                               .rules = {{"*.0.self_attn.q_proj", std::nullopt},
                                         {"*.1.self_attn.v_proj", Format::parse("nvfp4")},
                                         {"*.1.*.down_proj", Format::parse("affine", 6, 32)},
                                         {"*.1.*.up_proj", Format::parse("mxfp8")},
                                         {"lm_head", Format::parse("affine", 5, 64)},
                                         {"model.embed_tokens", std::nullopt}}};
  const fs::path model = convert(options, "mixed");
  for (const ExpertDivision experts : {ExpertDivision::kSplit, ExpertDivision::kSpread})
    expect_equal(model, experts);
  const CheckpointBuilder values = values_in_float32(model);
  const Json reference = ReferenceRun(GetParam()).reference;
  EXPECT_NEAR(likelihood(model, reference), likelihood(values.path(), reference), 0.001);
}

// What mlx-lm asks for: its names, and its predicates for routers.
TEST(ConvertedConfig, SaysWhatMlxReads) {
  const auto converted = [](const std::string& name) {
    const TemporaryDirectory directory;
    convert_checkpoint(kReferences / name, directory.path() / "model",
                       {.format = Format::parse("mxfp4")});
    return parse_json(read_text_file(directory.path() / "model" / "config.json"), name);
  };
  const Json router = {{"group_size", 64}, {"bits", 8}, {"mode", "affine"}};
  const Json mixtral = converted("mixtral");
  EXPECT_EQ(mixtral.at("rope_theta"), 20000.0);
  EXPECT_EQ(mixtral.at("num_experts"), 4);
  EXPECT_FALSE(mixtral.contains("rope_scaling"));
  EXPECT_FALSE(mixtral.at("quantization").contains("model.layers.0.block_sparse_moe.gate"));
  EXPECT_EQ(converted("gpt_oss").at("quantization").at("model.layers.0.mlp.router"), router);
  EXPECT_EQ(converted("minimax_m2").at("quantization").at("model.layers.0.block_sparse_moe.gate"),
            router);
  EXPECT_FALSE(converted("glm4_moe").at("quantization").contains("model.layers.1.mlp.gate"));
}

uint64_t logits_hash(const fs::path& model) {
  const int one[] = {1};
  const int32_t ids[] = {3, 14, 15, 9, 26};
  return verify({.model = model}, one, ids, {.decode_tokens = 1})[0].trace.back().hash;
}

// As checkpoints of the hub have them: a router at affine 8 bits without a mode, null for the
// mode's own group size, and true for the format of all.
TEST(MixedConfig, MayLeaveOutWhatMlxKnows) {
  const TemporaryDirectory directory;
  const fs::path model = directory.path() / "model";
  convert_checkpoint(kReferences / "qwen3_moe", model, {.format = Format::parse("mxfp4")});
  const uint64_t expected = logits_hash(model);
  const fs::path file = model / "config.json";
  Json config = parse_json(read_text_file(file), "config.json");
  const std::string router = "model.layers.1.mlp.gate";
  ASSERT_EQ(config["quantization"][router],
            Json({{"group_size", 64}, {"bits", 8}, {"mode", "affine"}}));
  config.erase("quantization_config");
  config["quantization"]["lm_head"] = true;
  for (const Json& said :
       {Json{{"group_size", 64}, {"bits", 8}},
        Json{{"group_size", nullptr}, {"bits", 8}, {"mode", "affine"}}, Json{{"bits", 8}}}) {
    config["quantization"][router] = said;
    fs::remove(file);
    write_text_file(file, dump_json(config));
    EXPECT_EQ(logits_hash(model), expected) << dump_json(said);
  }
}

}  // namespace
}  // namespace strake
