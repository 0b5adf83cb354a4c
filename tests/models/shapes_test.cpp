#include "models/shapes.h"

#include <gtest/gtest.h>

#include <map>

#include "engine/plan.h"
#include "io/expect_error.h"
#include "io/random_weights.h"

namespace strake {
namespace {

OpenModel random_model(const ModelConfig& config) {
  return [config](Device device) { return std::make_unique<RandomWeights>(config, device); };
}

std::vector<LoadedModule> modules_of(const ModelConfig& config) {
  std::vector<LoadedModule> modules;
  for (PlannedModule& planned : make_plan(random_model(config), Shares::equal(1)).modules)
    modules.push_back(std::move(planned.module));
  return modules;
}

int64_t parameters(const ModelConfig& config) {
  int64_t count = 0;
  for (const LoadedModule& module : modules_of(config)) count += module.shape.elements();
  return count;
}

// As their publishers count them.
TEST(Shapes, HaveTheParametersOfTheirModels) {
  const std::map<std::string_view, int64_t> expected{
      {"smollm2-135m", 134'515'008},     {"llama-1b", 1'235'814'400},
      {"llama-3b", 3'212'749'824},       {"llama-8b", 8'030'261'248},
      {"llama-70b", 70'553'706'496},     {"llama-405b", 405'853'388'800},
      {"deepseek-v3", 671'026'419'200},  {"glm-5", 743'911'218'432},
      {"qwen3-30b-a3b", 30'532'122'624},
  };
  EXPECT_EQ(known_shapes().size(), expected.size());
  for (const ModelShape& shape : known_shapes())
    EXPECT_EQ(parameters(shape_config(shape.name, {}, std::nullopt)), expected.at(shape.name))
        << shape.name;
}

TEST(Shapes, DivideInEveryFormat) {
  for (const ModelShape& shape : known_shapes())
    for (const Format format : Format::all()) {
      const auto config = shape_config(shape.name, {.layers = 1}, format);
      const Plan plan = make_plan(random_model(config), Shares::equal(4));
      EXPECT_EQ(plan.bytes_per_rank().size(), 4u);
    }
}

TEST(Shapes, WhatATokenReads) {
  const auto share = [](std::string_view shape, const std::string& module) {
    const auto config = shape_config(shape, {.layers = 1}, std::nullopt);
    for (const PlannedModule& planned : make_plan(random_model(config), Shares::equal(2)).modules)
      if (planned.module.path == module) return planned.module.read_share;
    return -1.0;
  };
  EXPECT_EQ(share("llama-8b", "model.embed_tokens"), 1.0 / 128256);  // its row
  EXPECT_EQ(share("llama-8b", "lm_head"), 1);
  EXPECT_EQ(share("llama-1b", "model.embed_tokens"), 1);  // for the logits
  EXPECT_EQ(share("llama-1b", "model.layers.0.mlp.down_proj"), 1);
  EXPECT_EQ(share("glm-5", "model.layers.0.mlp.switch_mlp.down_proj"), 8.0 / 256);
  EXPECT_EQ(share("glm-5", "model.layers.0.mlp.shared_experts.down_proj"), 1);
  EXPECT_EQ(share("qwen3-30b-a3b", "model.layers.0.mlp.switch_mlp.down_proj"), 8.0 / 128);
}

TEST(Shapes, AreCutByLayers) {
  EXPECT_EQ(shape_config("llama-8b", {.layers = 3}, std::nullopt).integer("num_hidden_layers"), 3);
  EXPECT_EQ(shape_config("llama-8b", {}, std::nullopt).integer("num_hidden_layers"), 32);
  for (const int64_t layers : {0, 33})
    expect_error(ErrorKind::kUsage, "--layers: 1 to 32 expected for llama-8b",
                 [&] { shape_config("llama-8b", {.layers = layers}, std::nullopt); });
}

TEST(Shapes, AreCutByExperts) {
  const ShapeCut cut{.layers = 26, .experts = 16};
  const ModelConfig config = shape_config("glm-5", cut, std::nullopt);
  EXPECT_EQ(config.integer("n_routed_experts"), 16);
  EXPECT_EQ(config.integer("first_k_dense_replace", 0), 1);  // of three in 78
  EXPECT_EQ(shape_config("glm-5", {.layers = 25}, {}).integer("first_k_dense_replace", 0), 0);
  const ModelConfig qwen = shape_config("qwen3-30b-a3b", cut, std::nullopt);
  EXPECT_EQ(qwen.integer("num_experts"), 16);
  for (const LoadedModule& module : modules_of(qwen))
    if (module.path.ends_with("switch_mlp.down_proj")) {
      EXPECT_EQ(module.shape[0], 16);
    }
  for (const int64_t experts : {7, 257})
    expect_error(ErrorKind::kUsage, "--routed-experts: 8 to 256 expected for glm-5",
                 [&] { shape_config("glm-5", {.experts = experts}, std::nullopt); });
  expect_error(ErrorKind::kUsage, "--routed-experts: 8 to 128 expected for qwen3-30b-a3b",
               [] { shape_config("qwen3-30b-a3b", {.experts = 4}, std::nullopt); });
  expect_error(ErrorKind::kUsage, "--routed-experts: llama-8b has no experts",
               [] { shape_config("llama-8b", {.experts = 8}, std::nullopt); });
}

TEST(Shapes, UnknownNamesListTheKnown) {
  expect_error(ErrorKind::kUsage, "'glm' is not known; known: smollm2-135m, llama-1b",
               [] { shape_config("glm", {}, std::nullopt); });
}

}  // namespace
}  // namespace strake
