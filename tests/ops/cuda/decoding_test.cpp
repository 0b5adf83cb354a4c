// Whole models on a GPU: recorded steps have the logits of those that the host asks for.
#include "engine/decoding.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "engine/generation.h"
#include "models/reference.h"

namespace strake {
namespace {

class CudaDecodingOf : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Models, CudaDecodingOf, testing::ValuesIn(reference_models()),
                         reference_name);

TEST_P(CudaDecodingOf, HasTheLogitsOfSteps) {
  constexpr int64_t kTokens = 24;
  const auto group = make_solo_group();
  Session session(
      *group, Shares::equal(1),
      {.model = kReferences / GetParam(), .device = "cuda", .activations = DType::kBF16});
  Context& context = session.context();
  for (const int64_t prompt : {14, 250, 500}) {
    SCOPED_TRACE(prompt);
    const auto ids = spread_ids(prompt, session.model().vocabulary());
    SequenceCache cache = session.make_cache(prompt + kTokens + 1);
    std::vector<int32_t> history;
    const auto found = generate(context, session.model(), cache, history, ids,
                                {.max_tokens = kTokens, .stop_tokens = {}, .sampling = {}},
                                [](int32_t) { return std::nullopt; });

    SequenceCache own = session.make_cache(prompt + kTokens + 1);
    Tensor logits = run_step(context, session.model(), own, ids, LogitRows::kLast);
    std::vector<int32_t> tokens;
    uint64_t hash = kHashSeed;
    while (true) {
      const auto row = logits.data<float>();
      hash = hash_row(row, hash);
      const auto token = static_cast<int32_t>(std::ranges::max_element(row) - row.begin());
      tokens.push_back(token);
      if (std::ssize(tokens) == kTokens) break;
      logits = run_step(context, session.model(), own, std::span(&token, 1), LogitRows::kLast);
    }
    EXPECT_EQ(found.tokens, tokens);
    EXPECT_EQ(found.logits_hash, hash);
  }
}

}  // namespace
}  // namespace strake
