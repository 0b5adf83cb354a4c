#include "models/fields.h"

#include <gmock/gmock.h>

#include "io/expect_error.h"
#include "models/dense.h"

namespace strake {
namespace {

using testing::ElementsAre;

constexpr auto kNone = std::optional<int64_t>();
constexpr auto kNine = std::optional<int64_t>(9);

ModelConfig config(const std::string& fields) {
  return ModelConfig::parse("{" + fields + "}", "config.json");
}

auto windows(const std::string& fields) {
  return read_windows(config(fields), 4, [](int64_t i) { return i % 2 == 0; });
}

TEST(Windows, AreThoseOfTheirLayers) {
  EXPECT_THAT(windows(R"("sliding_window": 9)"), ElementsAre(kNine, kNone, kNine, kNone));
  EXPECT_THAT(windows(R"("sliding_window": 9, "layer_types": ["full_attention",
                         "sliding_attention", "full_attention", "full_attention", "beyond"])"),
              ElementsAre(kNone, kNine, kNone, kNone));
  for (const char* none : {"", R"("sliding_window": null)"})
    EXPECT_THAT(windows(none), ElementsAre(kNone, kNone, kNone, kNone));
}

TEST(Windows, OfUnknownLayersAreRefused) {
  const auto refused = [](ErrorKind kind, const std::string& part, const std::string& fields) {
    expect_error(kind, "config.json: " + part, [&] { windows(fields); });
  };
  refused(ErrorKind::kUnsupported,
          "layer_types: full_attention or sliding_attention expected, found linear_attention",
          R"("layer_types": ["linear_attention", "a", "b", "c"])");
  refused(ErrorKind::kCheckpoint, "layer_types: 4 of them expected, found 1",
          R"("layer_types": ["full_attention"])");
  refused(ErrorKind::kCheckpoint, "layer_types: a list of texts expected",
          R"("layer_types": [1, 2, 3, 4])");
  refused(ErrorKind::kCheckpoint, "sliding_window: a whole number of at least 1",
          R"("sliding_window": 0)");
}

TEST(Fields, CountExpertsByAnyOfTheirNames) {
  for (const char* name : {"n_routed_experts", "num_experts", "num_local_experts"}) {
    const ModelConfig found = config("\"" + std::string(name) + "\": 12");
    EXPECT_EQ(experts_field(found), name);
    EXPECT_EQ(read_experts(found), 12);
  }
  EXPECT_EQ(experts_field(config(R"("n_routed_experts": null)")), std::nullopt);
  EXPECT_EQ(read_experts(config(R"("num_experts": 4, "num_local_experts": 4)")), 4);
  expect_error(ErrorKind::kCheckpoint,
               "config.json: num_local_experts: 4, as num_experts says, expected, found 8",
               [] { read_experts(config(R"("num_experts": 4, "num_local_experts": 8)")); });
  expect_error(ErrorKind::kCheckpoint,
               "one of n_routed_experts, num_experts, num_local_experts expected, found none",
               [] { read_experts(config("")); });
}

TEST(Fields, AttentionHasBiasesAndPartialRopesWhereTheySay) {
  const std::string shape =
      R"("hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2)";
  const AttentionConfig plain = read_attention(config(shape), 10000.0);
  EXPECT_EQ(plain.head_dim, 16);
  EXPECT_EQ(plain.rope->dims, 16);
  EXPECT_EQ(plain.bias, Bias::kNone);
  const AttentionConfig other = read_attention(
      config(shape + R"(, "head_dim": 32, "attention_bias": true, "partial_rotary_factor": 0.5)"),
      10000.0);
  EXPECT_EQ(other.head_dim, 32);
  EXPECT_EQ(other.rope->dims, 16);
  EXPECT_EQ(other.bias, Bias::kPresent);
  EXPECT_EQ(other.output_bias, Bias::kPresent);
}

// Qwen's: with use_sliding_window alone, and from a layer on.
TEST(Fields, UpperLayersSlideWhereTheConfigSaysSo) {
  const std::string shape = R"("hidden_size": 64, "num_attention_heads": 4, "vocab_size": 8,
      "num_hidden_layers": 3, "intermediate_size": 8, "rms_norm_eps": 1e-6, "sliding_window": 9)";
  const auto windows_of = [&](const std::string& fields) {
    const ModelConfig json = config(shape + fields);
    DenseConfig dense = DenseConfig::read(json, 1e6, OutputLayer::kTied);
    dense.read_upper_windows(json);
    std::vector<std::optional<int64_t>> found;
    for (const AttentionConfig& attention : dense.attention) found.push_back(attention.window);
    return found;
  };
  EXPECT_THAT(windows_of(""), ElementsAre(kNone, kNone, kNone));
  EXPECT_THAT(windows_of(R"(, "use_sliding_window": true, "max_window_layers": 2)"),
              ElementsAre(kNone, kNone, kNine));
  EXPECT_THAT(windows_of(R"(, "use_sliding_window": true, "max_window_layers": 0)"),
              ElementsAre(kNine, kNine, kNine));
  EXPECT_THAT(windows_of(R"(, "use_sliding_window": false, "max_window_layers": 0)"),
              ElementsAre(kNone, kNone, kNone));
}

}  // namespace
}  // namespace strake
