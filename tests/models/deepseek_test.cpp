// Which layers of a DeepSeek-like model select keys by themselves.
#include "models/deepseek.h"

#include <gmock/gmock.h>

#include "io/expect_error.h"

namespace strake {
namespace {

using testing::ElementsAre;

constexpr const char* kConfig = R"({"hidden_size": 64, "num_hidden_layers": 8, "vocab_size": 40,
    "rms_norm_eps": 1e-5, "num_attention_heads": 2, "kv_lora_rank": 32, "q_lora_rank": 32,
    "qk_nope_head_dim": 16, "qk_rope_head_dim": 16, "v_head_dim": 16, "intermediate_size": 64,
    "index_n_heads": 2, "index_head_dim": 16, "index_topk": 8})";

std::vector<bool> layers(const std::string& fields) {
  Json json = parse_json(kConfig, "config");
  json.update(parse_json(fields, "fields"));
  const auto config = ModelConfig::parse(dump_json(json), "config.json");
  auto deepseek = DeepseekConfig::read_v3(config);
  deepseek.read_indexers(config, RopeTable::Pairs::kHalves);
  return deepseek.has_indexer;
}

TEST(IndexerLayers, AreAllWhereNothingIsSaid) {
  EXPECT_THAT(layers("{}"), testing::Each(true));
  EXPECT_THAT(layers(R"({"indexer_types": null, "index_topk_freq": 1})"), testing::Each(true));
}

TEST(IndexerLayers, AreThoseOfAList) {
  const auto expected = ElementsAre(true, false, false, true, false, true, false, false);
  EXPECT_THAT(layers(R"({"index_topk_pattern": "FSSFSFSS"})"), expected);
  EXPECT_THAT(layers(R"({"indexer_types": ["full", "shared", "shared", "full", "shared", "full",
                                           "shared", "shared"],
                         "index_topk_pattern": "FFFFFFFF"})"),
              expected);
}

// transformers' GlmMoeDsaConfig: the layers i where max(i - offset + 1, 0) divides by freq.
TEST(IndexerLayers, AreThoseOfASchedule) {
  EXPECT_THAT(layers(R"({"index_topk_freq": 3})"),
              ElementsAre(true, true, false, false, true, false, false, true));
  EXPECT_THAT(layers(R"({"index_topk_freq": 4, "index_skip_topk_offset": 3})"),
              ElementsAre(true, true, true, false, false, false, true, false));
  EXPECT_THAT(layers(R"({"index_topk_freq": 2, "index_skip_topk_offset": 1})"),
              ElementsAre(true, false, true, false, true, false, true, false));
}

TEST(IndexerLayers, OfOtherKindsAreRefused) {
  const auto refused = [](ErrorKind kind, const std::string& part, const std::string& fields) {
    expect_error(kind, "config.json: " + part, [&] { layers(fields); });
  };
  refused(ErrorKind::kUnsupported, "index_topk_pattern: F or S expected, found X",
          R"({"index_topk_pattern": "FX"})");
  refused(ErrorKind::kUnsupported, "indexer_types: full or shared expected, found half",
          R"({"indexer_types": ["full", "half"]})");
  refused(ErrorKind::kCheckpoint, "indexer_types: 8 of them expected, found 1",
          R"({"indexer_types": ["full"]})");
  refused(ErrorKind::kCheckpoint, "index_topk_pattern: the first layer has none before it",
          R"({"index_topk_pattern": "SFFFFFFF"})");
  refused(ErrorKind::kCheckpoint, "index_topk_freq: the first layer has none before it",
          R"({"index_topk_freq": 2, "index_skip_topk_offset": 0})");
}

}  // namespace
}  // namespace strake
