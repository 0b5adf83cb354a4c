// Steps that are run again with other tokens at other positions are the steps that the host asks
// for.
#include "engine/decoding.h"

#include <gtest/gtest.h>

#include "engine/generation.h"
#include "models/reference.h"
#include "support/repeating_backend.h"

namespace strake {
namespace {

struct Counts {
  int recordings = 0;
  int runs = 0;
};

// Rank 0's text after so many tokens; with `records`, on a backend that repeats steps.
GenerationResult run(const std::filesystem::path& model, int ranks, int64_t prompt,
                     const GenerationOptions& options,
                     std::optional<RepeatingBackend::Records> records, Counts* counts = nullptr) {
  GenerationResult result;
  run_ranks(ranks, {}, [&](Group& group) {
    Session session(group, Shares::equal(ranks), {.model = model});
    SequenceCache cache = session.make_cache(prompt + options.max_tokens + 1);
    RepeatingBackend repeating(session.context().backend,
                               records.value_or(RepeatingBackend::Records::kNo));
    Context context =
        records ? Context{repeating, group, session.context().activations} : session.context();
    std::vector<int32_t> history;
    const auto own = generate(context, session.model(), cache, history,
                              spread_ids(prompt, session.model().vocabulary()), options,
                              [](int32_t) { return std::nullopt; });
    if (group.rank() != 0) return;
    result = own;
    if (counts != nullptr) *counts = {repeating.recordings, repeating.runs};
  });
  return result;
}

void expect_equal(const GenerationResult& found, const GenerationResult& expected) {
  EXPECT_EQ(found.tokens, expected.tokens);
  EXPECT_EQ(found.logits_hash, expected.logits_hash);
}

class DecodingOf : public testing::TestWithParam<std::string> {
 protected:
  std::filesystem::path model() const { return kReferences / GetParam(); }
};

INSTANTIATE_TEST_SUITE_P(Models, DecodingOf, testing::ValuesIn(reference_models()), reference_name);

// Over the end of windows, of attention's chunks and of what indexers leave out.
TEST_P(DecodingOf, RepeatedStepsAreTheHosts) {
  const GenerationOptions options{.max_tokens = 20, .stop_tokens = {}, .sampling = {}};
  for (const int64_t prompt : {14, 250}) {
    const auto expected = run(model(), 1, prompt, options, std::nullopt);
    for (const int ranks : {1, 2})
      for (const auto records : {RepeatingBackend::Records::kYes, RepeatingBackend::Records::kNo}) {
        SCOPED_TRACE(testing::Message() << prompt << " tokens, " << ranks << " ranks");
        expect_equal(run(model(), ranks, prompt, options, records), expected);
      }
  }
}

TEST(Decoding, RecordsASecondStepAndRunsTheOthers) {
  const GenerationOptions options{.max_tokens = 20, .stop_tokens = {}, .sampling = {}};
  Counts counts;
  run(kReferences / "llama", 1, 14, options, RepeatingBackend::Records::kYes, &counts);
  EXPECT_EQ(counts.recordings, 1);
  EXPECT_EQ(counts.runs, 18);  // of 19 steps
}

TEST(Decoding, RecordsAnewWhereAttentionIsLaidOutForMore) {
  const GenerationOptions options{.max_tokens = 20, .stop_tokens = {}, .sampling = {}};
  const auto model = kReferences / "llama";
  Counts counts;
  const auto found = run(model, 1, 505, options, RepeatingBackend::Records::kYes, &counts);
  expect_equal(found, run(model, 1, 505, options, std::nullopt));
  // Positions 505 to 511, and 512 to 523.
  EXPECT_EQ(counts.recordings, 2);
  EXPECT_EQ(counts.runs, 6 + 11);
}

TEST(Decoding, SamplesAsTheHostDoes) {
  const GenerationOptions options{.max_tokens = 20,
                                  .stop_tokens = {},
                                  .sampling = {.temperature = 0.75,
                                               .top_p = 0.9375,
                                               .min_p = 0.015625,
                                               .top_k = 50,
                                               .min_tokens_to_keep = 2,
                                               .seed = 7}};
  const auto model = kReferences / "llama";
  const auto expected = run(model, 1, 14, options, std::nullopt);
  for (const int ranks : {1, 2})
    expect_equal(run(model, ranks, 14, options, RepeatingBackend::Records::kYes), expected);
}

// Penalties look at the whole text, which the host has.
TEST(Decoding, LeavesToTheHostWhatNeedsTheText) {
  GenerationOptions options{.max_tokens = 20, .stop_tokens = {}, .sampling = {}};
  options.sampling.repetition_penalty = 1.5;
  const auto model = kReferences / "llama";
  Counts counts;
  const auto found = run(model, 1, 14, options, RepeatingBackend::Records::kYes, &counts);
  expect_equal(found, run(model, 1, 14, options, std::nullopt));
  EXPECT_EQ(counts.recordings, 0);
}

}  // namespace
}  // namespace strake
