// What ends a generation, on ranks that are threads.
#include "engine/generation.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "engine/session.h"
#include "strake/comm/thread_group.h"

namespace strake {
namespace {

const std::vector<int32_t> kPrompt{35, 79, 368};
constexpr int kRanks = 2;

// Each rank's result on the tiny Llama. The sink belongs to rank 0.
std::vector<GenerationResult> generate_on_ranks(const GenerationOptions& options,
                                                const TokenSink& sink) {
  std::vector<GenerationResult> results(kRanks);
  run_ranks(kRanks, {}, [&](Group& group) {
    Session session(group, Shares::equal(kRanks), {STRAKE_TEST_DATA "/models/llama"});
    SequenceCache cache = session.make_cache(64);
    std::vector<int32_t> history;
    results[static_cast<size_t>(group.rank())] = generate(
        session.context(), session.model(), cache, history, kPrompt, options,
        group.rank() == 0 ? sink : [](int32_t) -> std::optional<FinishReason> {
          ADD_FAILURE() << "a rank but 0 was asked";
          return FinishReason::kStop;
        });
  });
  return results;
}

std::optional<FinishReason> go_on(int32_t) { return std::nullopt; }

std::vector<int32_t> first_tokens() {
  return generate_on_ranks({.max_tokens = 6, .stop_tokens = {}, .sampling = {}}, go_on)[0].tokens;
}

TEST(Generation, ATokenThatTheSinkEndsTheTextWithCountsOnAllRanks) {
  const auto tokens = first_tokens();
  for (const auto reason : {FinishReason::kStop, FinishReason::kCancelled}) {
    int calls = 0;
    const auto results = generate_on_ranks(
        {.max_tokens = 6, .stop_tokens = {}, .sampling = {}},
        [&](int32_t) { return ++calls == 3 ? std::optional(reason) : std::nullopt; });
    EXPECT_EQ(calls, 3);
    for (const GenerationResult& result : results) {
      EXPECT_THAT(result.tokens, testing::ElementsAreArray(tokens.begin(), tokens.begin() + 3));
      EXPECT_EQ(result.finish, reason);
    }
  }
}

TEST(Generation, AStopTokenIsNoPartOfTheTextAndNotSeenByTheSink) {
  const auto tokens = first_tokens();
  const int32_t stop = tokens[3];
  const auto length = std::find(tokens.begin(), tokens.end(), stop) - tokens.begin();
  int calls = 0;
  const auto results = generate_on_ranks({.max_tokens = 6, .stop_tokens = {stop}, .sampling = {}},
                                         [&](int32_t token) {
                                           EXPECT_NE(token, stop);
                                           ++calls;
                                           return std::nullopt;
                                         });
  EXPECT_EQ(calls, length);
  for (const GenerationResult& result : results) {
    EXPECT_THAT(result.tokens, testing::ElementsAreArray(tokens.begin(), tokens.begin() + length));
    EXPECT_EQ(result.finish, FinishReason::kStop);
  }
}

TEST(Generation, TheLastTokenMayEndTheText) {
  int calls = 0;
  const auto results = generate_on_ranks(
      {.max_tokens = 2, .stop_tokens = {}, .sampling = {}},
      [&](int32_t) { return ++calls == 2 ? std::optional(FinishReason::kStop) : std::nullopt; });
  for (const GenerationResult& result : results) {
    EXPECT_EQ(result.tokens.size(), 2u);
    EXPECT_EQ(result.finish, FinishReason::kStop);
  }
  for (const GenerationResult& result :
       generate_on_ranks({.max_tokens = 2, .stop_tokens = {}, .sampling = {}}, go_on))
    EXPECT_EQ(result.finish, FinishReason::kLength);
}

}  // namespace
}  // namespace strake
