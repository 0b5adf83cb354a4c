// What checkpoints of one architecture may have or lack: output layers, biases, odd divisions.
#include "tiny_llama.h"

#include <gtest/gtest.h>

#include "io/expect_error.h"
#include "strake/nn/embedding.h"

namespace strake {
namespace {

bool equal_bits(const Tensor& a, const Tensor& b) { return bool(same_bits(a, b)); }

TEST(TinyLlama, AnOutputLayerOfItsOwnIsUsed) {
  TinyLlama llama;
  const Tensor tied = llama.logits();
  // The same numbers under the other name give the same logits.
  llama.builder.config["tie_word_embeddings"] = false;
  llama.builder.add("lm_head.weight", llama.builder.tensor("model.embed_tokens.weight"));
  EXPECT_TRUE(same_bits(llama.logits(), tied));
  // Rows moved by one: so are the logits.
  const Tensor table = llama.builder.tensor("model.embed_tokens.weight");
  const Tensor moved[] = {table.slice(0, 1, 40), table.slice(0, 0, 1)};
  llama.builder.add("lm_head.weight", concatenate(moved, 0));
  const Tensor expected[] = {tied.slice(1, 1, 40), tied.slice(1, 0, 1)};
  EXPECT_TRUE(same_bits(llama.logits(), concatenate(expected, 1)));
  for (const int ranks : {2, 3, 16})
    EXPECT_TRUE(same_bits(llama.logits(Shares::equal(ranks)), concatenate(expected, 1)));
  // It may have a format of its own.
  const Format format = Format::parse("affine", 8, 64);
  llama.builder.config["quantization"] = {
      {"group_size", 32}, {"bits", 4}, {"mode", "mxfp4"}, {"lm_head", format_json(format)}};
  llama.builder.add_weight("lm_head", quantize(concatenate(moved, 0), format, Encoder::kMlx));
  const Tensor quantized = llama.logits();
  EXPECT_FALSE(equal_bits(quantized, concatenate(expected, 1)));
  EXPECT_TRUE(same_bits(llama.logits(Shares::equal(3)), quantized));
}

TEST(TinyLlama, ATiedModelLeavesTheCopyOfItsOutputLayer) {
  TinyLlama llama;
  const Tensor tied = llama.logits();
  llama.add("lm_head", TinyLlama::kVocabulary, TinyLlama::kHidden);
  EXPECT_TRUE(same_bits(llama.logits(), tied));
  llama.builder.config.erase("tie_word_embeddings");
  EXPECT_TRUE(same_bits(llama.logits(), tied));
  llama.builder.config["tie_word_embeddings"] = false;
  EXPECT_FALSE(equal_bits(llama.logits(), tied));
  llama.builder.remove("lm_head.weight");
  expect_error(ErrorKind::kCheckpoint, "lm_head.weight: missing", [&] { llama.logits(); });
}

TEST(TinyLlama, BiasesCountOnceOnAnyNumberOfRanks) {
  TinyLlama llama;
  const Tensor plain = llama.logits();
  llama.builder.config["attention_bias"] = true;
  llama.builder.config["mlp_bias"] = true;
  const std::pair<const char*, int64_t> modules[] = {
      {"self_attn.q_proj", 64}, {"self_attn.k_proj", 32}, {"self_attn.v_proj", 32},
      {"self_attn.o_proj", 64}, {"mlp.gate_proj", 96},    {"mlp.up_proj", 96},
      {"mlp.down_proj", 64}};
  const auto each_bias = [&](const auto& visit) {
    for (int64_t i = 0; i < TinyLlama::kLayers; ++i)
      for (const auto& [name, extent] : modules) visit(llama.layer(i) + name + ".bias", extent);
  };
  each_bias([&](const std::string& name, int64_t extent) {
    llama.builder.add(name, Tensor::zeros(DType::kF32, {extent}));
  });
  EXPECT_TRUE(same_bits(llama.logits(), plain));
  each_bias([&](const std::string& name, int64_t extent) { llama.add_vector(name, extent); });
  const Tensor biased = llama.logits();
  EXPECT_FALSE(equal_bits(biased, plain));
  for (const int ranks : {2, 3, 5, 16})
    EXPECT_TRUE(same_bits(llama.logits(Shares::equal(ranks)), biased)) << ranks;
  llama.builder.config["mlp_bias"] = false;
  expect_error(ErrorKind::kCheckpoint, "the model has no place for 6 of its tensors",
               [&] { llama.logits(); });
}

// Heads of 16 elements in groups of 32: two heads stay together, and there are two such pairs.
TEST(TinyLlama, KeepsHeadsTogetherThatShareAGroup) {
  for (const char* mode : {"mxfp8", "affine", "nvfp4"}) {
    TinyLlama llama;
    llama.quantize_all(Format::parse(
        mode, std::nullopt, mode == std::string("affine") ? std::optional(32) : std::nullopt));
    const Tensor expected = llama.logits();
    for (int ranks = 2; ranks <= kMaxRanks; ++ranks)
      EXPECT_TRUE(same_bits(llama.logits(Shares::equal(ranks)), expected)) << mode << " " << ranks;
    for (const auto& weights : std::vector<std::vector<int64_t>>{{2, 1}, {1, 5, 2}, {9, 1, 1, 1}})
      EXPECT_TRUE(same_bits(llama.logits(Shares::weighted(weights)), expected)) << mode;
  }
}

TEST(TinyLlama, RunsWithoutTheFieldsThatHaveDefaults) {
  TinyLlama llama;
  const Tensor expected = llama.logits();
  llama.builder.config.erase("rope_theta");
  llama.builder.config["head_dim"] = nullptr;
  llama.builder.config["rope_scaling"] = nullptr;
  llama.builder.config["unknown_field"] = {1, 2, 3};
  EXPECT_TRUE(same_bits(llama.logits(), expected));
  llama.builder.config["head_dim"] = 16;
  EXPECT_TRUE(same_bits(llama.logits(), expected));
  llama.builder.add("model.layers.1.self_attn.rotary_emb.inv_freq",
                    Tensor::zeros(DType::kF32, {8}));
  EXPECT_TRUE(same_bits(llama.logits(), expected));
}

TEST(TinyLlama, RefusesTokensAndPositionsThatItDoesNotHave) {
  TinyLlama llama;
  Checkpoint checkpoint = llama.builder.open();
  const auto model = load_model(checkpoint, LayerLoader(checkpoint, Shares::equal(1), 0));
  const auto backend = make_backend("cpu", {});
  const auto group = make_solo_group();
  Context context{*backend, *group, DType::kF32};
  SequenceCache cache = model->make_cache(2, DType::kF32);
  const auto refused = [&](const std::string& part, const std::vector<int32_t>& tokens) {
    expect_error(ErrorKind::kUsage, part,
                 [&] { model->forward(context, tokens, cache, LogitRows::kLast); });
  };
  refused("token id below 40 expected, found 40", {1, 40});
  refused("token id below 40 expected, found -1", {-1});
  refused("positions below 2 expected, found 3 rows from 0 on", {1, 2, 3});
  EXPECT_EQ(model->forward(context, std::vector<int32_t>{1, 2}, cache, LogitRows::kLast).shape(),
            (Shape{1, 40}));
  EXPECT_EQ(cache.length(), 2);
  refused("positions below 2 expected, found 1 rows from 2 on", {3});
}

}  // namespace
}  // namespace strake
