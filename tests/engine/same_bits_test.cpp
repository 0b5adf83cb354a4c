// The promise: the tiny Llama, in every format, gives the same bits for every number of ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/convert.h"
#include "engine/generation.h"
#include "engine/verify.h"
#include "strake/comm/thread_group.h"
#include "support/temporary_directory.h"

namespace strake {
namespace {

namespace fs = std::filesystem;

const fs::path kDense = STRAKE_TEST_DATA "/models/llama";
constexpr int kRankCounts[] = {1, 2, 3, 4, 5, 8};
const std::vector<int32_t> kPrompt{35, 79, 368, 341, 1000, 17, 5, 2047, 260, 397, 1483};

// The tiny model in a format, or as it is.
class SameBits : public testing::TestWithParam<std::optional<Format>> {
 protected:
  void SetUp() override {
    if (!GetParam()) return;
    convert_checkpoint(kDense, model_, {.format = GetParam(), .threads = 2});
  }

  SessionOptions session() const { return {GetParam() ? model_ : kDense}; }

  void expect_equal(const VerifyOptions& options) const {
    const auto results = verify(session(), kRankCounts, kPrompt, options);
    ASSERT_EQ(results.size(), std::size(kRankCounts));
    for (const Verification& result : results) {
      EXPECT_TRUE(result.equal) << result.ranks << " ranks: " << result.first_difference;
      EXPECT_FALSE(result.trace.empty());
    }
  }

 private:
  TemporaryDirectory directory_;
  fs::path model_ = directory_.path() / "model";
};

TEST_P(SameBits, PromptInOnePieceAndDecode) { expect_equal({.decode_tokens = 4}); }

TEST_P(SameBits, PromptTokenByToken) { expect_equal({.prefill_piece = 1, .decode_tokens = 0}); }

// Tokens and logits of a generation on so many ranks.
GenerationResult generate_on(int ranks, const SessionOptions& session,
                             const SamplingOptions& sampling) {
  GenerationResult result;
  run_ranks(ranks, {}, [&](Group& group) {
    Session own(group, Shares::equal(ranks), session);
    SequenceCache cache = own.make_cache(64);
    std::vector<int32_t> history;
    auto mine = generate(own.context(), own.model(), cache, history, kPrompt,
                         {.max_tokens = 12, .stop_tokens = {}, .sampling = sampling},
                         [](int32_t) { return std::nullopt; });
    if (group.rank() == 0) result = std::move(mine);
  });
  return result;
}

TEST_P(SameBits, GreedyAndSeededSampling) {
  const SamplingOptions options[] = {
      {}, {.temperature = 0.9, .top_p = 0.95, .repetition_penalty = 1.1, .seed = 7}};
  std::vector<std::vector<int32_t>> texts;
  for (const SamplingOptions& sampling : options) {
    const auto expected = generate_on(1, session(), sampling);
    ASSERT_EQ(expected.tokens.size(), 12u);
    texts.push_back(expected.tokens);
    for (const int ranks : kRankCounts) {
      const auto found = generate_on(ranks, session(), sampling);
      EXPECT_EQ(found.tokens, expected.tokens) << ranks << " ranks";
      EXPECT_EQ(found.logits_hash, expected.logits_hash) << ranks << " ranks";
    }
  }
  EXPECT_NE(texts[0], texts[1]);  // the sampler has chosen otherwise at least once
}

std::vector<std::optional<Format>> all_formats() {
  std::vector<std::optional<Format>> formats(Format::all().begin(), Format::all().end());
  formats.push_back(std::nullopt);
  return formats;
}

std::string test_name(const testing::TestParamInfo<std::optional<Format>>& info) {
  if (!info.param) return "dense";
  return std::string(info.param->mode_name()) + "_" + std::to_string(info.param->bits()) + "_" +
         std::to_string(info.param->group_size());
}

INSTANTIATE_TEST_SUITE_P(Formats, SameBits, testing::ValuesIn(all_formats()), test_name);

// Every rank count, shares and thread counts, on one format.
TEST(SameBitsOfOneFormat, EveryRankCountTo16) {
  std::vector<int> counts;
  for (int ranks = 1; ranks <= kMaxRanks; ++ranks) counts.push_back(ranks);
  const SessionOptions session{fs::path(STRAKE_SOURCE_DIR) / "models/tiny-llama-mxfp8"};
  for (const Verification& result : verify(session, counts, kPrompt, {.decode_tokens = 2}))
    EXPECT_TRUE(result.equal) << result.ranks << " ranks: " << result.first_difference;
}

uint64_t logits_hash(const Shares& shares, int threads) {
  uint64_t hash = 0;
  run_ranks(shares.ranks(), {}, [&](Group& group) {
    Session session(
        group, shares,
        {.model = fs::path(STRAKE_SOURCE_DIR) / "models/tiny-llama-mxfp8", .threads = threads});
    const Score result = score(session.context(), session.model(), kPrompt);
    if (group.rank() == 0) hash = result.logits_hash;
  });
  return hash;
}

TEST(SameBitsOfOneFormat, WeightedSharesAndThreads) {
  const uint64_t expected = logits_hash(Shares::equal(1), 1);
  EXPECT_EQ(logits_hash(Shares::equal(1), 3), expected);
  EXPECT_EQ(logits_hash(Shares::weighted({2, 1}), 1), expected);
  EXPECT_EQ(logits_hash(Shares::weighted({1, 5, 2}), 2), expected);
  EXPECT_EQ(logits_hash(Shares::weighted({100, 1, 1, 1}), 1), expected);
}

// A comparison that cannot fail proves nothing: another number of threads must not, another
// activation dtype must change the bits.
TEST(SameBitsOfOneFormat, TheTraceSeesADifference) {
  const fs::path model = fs::path(STRAKE_SOURCE_DIR) / "models/tiny-llama-mxfp8";
  const int one[] = {1};
  const auto bf16 = verify({.model = model}, one, kPrompt, {.decode_tokens = 0});
  const auto f32 =
      verify({.model = model, .activations = DType::kF32}, one, kPrompt, {.decode_tokens = 0});
  EXPECT_NE(bf16[0].trace.back().hash, f32[0].trace.back().hash);
}

}  // namespace
}  // namespace strake
