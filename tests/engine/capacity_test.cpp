#include "engine/capacity.h"

#include <gtest/gtest.h>

#include "io/random_weights.h"
#include "models/model.h"
#include "models/shapes.h"

namespace strake {
namespace {

OpenModel shape(std::string_view name, int64_t layers, const std::optional<Format>& format) {
  const ModelConfig config = shape_config(name, {.layers = layers}, format);
  return [config](Device device) { return std::make_unique<RandomWeights>(config, device); };
}

// Two layers of SmolLM2: 9 heads, 3 key-value heads of 64, hidden 576, width 1536, 49152 tokens.
constexpr int64_t kHidden = 576, kVocabulary = 49152;

TEST(Capacity, CountsTheBytesOfOneRank) {
  const auto open = shape("smollm2-135m", 2, std::nullopt);
  const Capacity capacity = find_capacity(open, Shares::equal(1), {.context = 100, .batch = 3});
  ASSERT_EQ(capacity.ranks.size(), 1u);
  const RankCapacity& rank = capacity.ranks[0];
  const int64_t layer = 2 * kHidden * kHidden + 2 * kHidden * 192 + 3 * kHidden * 1536;
  EXPECT_EQ(rank.weights, 2 * (2 * layer + kHidden * kVocabulary + 5 * kHidden));
  EXPECT_EQ(rank.cache_per_token, 2 * 2 * 3 * 64 * 2);  // layers, keys and values, heads, bfloat16
  EXPECT_EQ(rank.cache, 3 * 100 * rank.cache_per_token);
  EXPECT_EQ(rank.sent, 0);
  // The embedding makes the logits too: every weight is read.
  EXPECT_DOUBLE_EQ(rank.read, static_cast<double>(rank.weights + rank.cache));
  EXPECT_DOUBLE_EQ(capacity.decode_rate(1e9, 3), 3e9 / rank.read);
}

TEST(Capacity, OfRanksAddsUpToTheWhole) {
  const auto open = shape("smollm2-135m", 2, Format::parse("mxfp8"));
  const Load load{.context = 64};
  const Capacity one = find_capacity(open, Shares::equal(1), load);
  const Capacity three = find_capacity(open, Shares::equal(3), load);
  int64_t weights = 0;
  for (const RankCapacity& rank : three.ranks) weights += rank.weights;
  const int64_t norms = 5 * kHidden * 2;  // that every rank holds
  EXPECT_EQ(weights, one.ranks[0].weights + 2 * norms);
  EXPECT_EQ(three.cache_per_token(), one.cache_per_token());
}

TEST(Capacity, TwoEqualRanksSendOneSumEachALayerAndTheLogits) {
  const Capacity two = find_capacity(shape("smollm2-135m", 2, std::nullopt), Shares::parse("1,1"),
                                     {.context = 64, .batch = 5});
  // The width's halves are nodes of its tree; 9 heads over 2 ranks are 5 and 4, of several nodes.
  const int64_t least = 2 * 2 * kHidden + kVocabulary / 2 + kHidden / 2;
  for (const RankCapacity& rank : two.ranks) {
    EXPECT_GE(rank.sent, 5 * 4 * least);
    EXPECT_LT(rank.sent, 5 * 4 * (least + 2 * 4 * kHidden));
    EXPECT_EQ(rank.sent % 5, 0);
  }
}

TEST(Capacity, QuantizedCachesAreSmaller) {
  const auto open = shape("smollm2-135m", 1, std::nullopt);
  const auto bytes = [&](const CacheStorage& storage) {
    return find_capacity(open, Shares::equal(1), {.context = 512, .cache = storage})
        .ranks[0]
        .cache_per_token;
  };
  EXPECT_EQ(bytes(DType::kBF16), 2 * 3 * 64 * 2);
  EXPECT_EQ(bytes({DType::kBF16, Format::parse("mxfp8")}), 2 * 3 * (64 + 2));
}

TEST(Capacity, IsWhatASequencesCacheTakes) {
  const auto open = shape("llama-1b", 2, Format::parse("mxfp4"));
  const auto source = open(Device::meta());
  const LayerLoader loader(*source, Shares::equal(2), 1);
  const auto cache = load_model(*source, loader)->make_cache(777, DType::kBF16);
  EXPECT_EQ(find_capacity(open, Shares::equal(2), {.context = 777}).ranks[1].cache, cache.nbytes());
}

}  // namespace
}  // namespace strake
