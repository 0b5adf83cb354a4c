// What a sequence computes does not depend on how its tokens are divided, nor on its company.
#include "reference.h"
#include "support/bits.h"

namespace strake {
namespace {

class Batch : public testing::TestWithParam<std::string> {
 protected:
  // Logits of all rows of a prompt that runs in pieces.
  Tensor in_pieces(const std::vector<int32_t>& ids, size_t piece) {
    SequenceCache cache = run_.session.make_cache(std::ssize(ids));
    std::vector<Tensor> rows;
    for (size_t begin = 0; begin < ids.size(); begin += piece) {
      const auto tokens = std::span(ids).subspan(begin, std::min(piece, ids.size() - begin));
      rows.push_back(run_.model().forward(run_.session.context(), tokens, cache, LogitRows::kAll));
    }
    return concatenate(rows, 0);
  }
  std::vector<ReferencePrompt> prompts() const { return run_.prompts(); }
  // Whether many rows take latent attention's expanded form, and few the absorbed one: these two
  // multiply in another order, so that their float32 sums round differently.
  bool has_two_forms() const {
    const auto file = run_.path / "config.json";
    const auto config = ModelConfig::parse(read_text_file(file), file.string());
    return config.has("kv_lora_rank") && !config.has("index_topk");
  }

  ReferenceRun run_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Models, Batch, testing::ValuesIn(reference_models()), reference_name);

TEST_P(Batch, APromptHasTheSameBitsInPieces) {
  const auto ids = prompts().back().ids;
  const Tensor whole = in_pieces(ids, ids.size());
  const Tensor singly = in_pieces(ids, 1);
  EXPECT_TRUE(same_bits(in_pieces(ids, 5), singly));
  EXPECT_TRUE(same_bits(in_pieces(ids, 64), whole));
  if (has_two_forms())
    EXPECT_LT(relative_norm(singly, whole), 1e-5);
  else
    EXPECT_TRUE(same_bits(singly, whole));
}

// Whatever the form, and after it.
TEST_P(Batch, APromptHasTheSameGreedyTokensInPieces) {
  for (const ReferencePrompt& prompt : prompts())
    for (const size_t piece : {1, 5, 64}) {
      SequenceCache cache =
          run_.session.make_cache(std::ssize(prompt.ids) + std::ssize(prompt.greedy));
      std::vector<int32_t> found;
      for (size_t begin = 0; found.size() < prompt.greedy.size();) {
        const auto left = std::span(prompt.ids).subspan(std::min(begin, prompt.ids.size()));
        const auto tokens = left.empty() ? std::span<const int32_t>(&found.back(), 1)
                                         : left.first(std::min(piece, left.size()));
        begin += tokens.size();
        const Tensor logits =
            run_.model().forward(run_.session.context(), tokens, cache, LogitRows::kLast);
        const auto row = logits.data<float>();
        if (begin >= prompt.ids.size())
          found.push_back(static_cast<int32_t>(std::ranges::max_element(row) - row.begin()));
      }
      EXPECT_EQ(found, prompt.greedy) << prompt.ids.size() << " tokens by " << piece;
    }
}

TEST_P(Batch, LongPromptsPassTheRingsOfWindows) {
  const auto all = prompts();
  std::vector<int32_t> ids;
  while (ids.size() < 700)
    for (const ReferencePrompt& prompt : all)
      ids.insert(ids.end(), prompt.ids.begin(), prompt.ids.end());
  EXPECT_TRUE(same_bits(in_pieces(ids, 100), in_pieces(ids, ids.size())));
}

// Sequences of different lengths step together; one joins later.
TEST_P(Batch, ASequenceHasTheSameBitsInCompany) {
  auto all = prompts();
  Context& context = run_.session.context();
  const auto greedy_alone = [&](const ReferencePrompt& prompt, size_t count) {
    SequenceCache cache = run_.session.make_cache(std::ssize(prompt.ids) + 8);
    std::vector<Tensor> rows{run_.model().forward(context, prompt.ids, cache, LogitRows::kLast)};
    for (size_t i = 0; i < count; ++i)
      rows.push_back(
          run_.model().forward(context, std::span(&prompt.greedy[i], 1), cache, LogitRows::kLast));
    return rows;
  };
  std::vector<SequenceCache> caches;
  for (const ReferencePrompt& prompt : all)
    caches.push_back(run_.session.make_cache(std::ssize(prompt.ids) + 8));
  std::vector<std::vector<Tensor>> found(all.size());
  for (size_t step = 0; step < 4; ++step) {
    std::vector<SequenceStep> steps;
    std::vector<size_t> who;
    for (size_t i = 0; i < all.size(); ++i) {
      const size_t joins = i == 1 ? 2 : 0;
      if (step < joins) continue;
      const bool prefill = step == joins;
      const auto next = std::span(all[i].greedy).subspan(prefill ? 0 : step - joins - 1, 1);
      steps.push_back({prefill ? std::span<const int32_t>(all[i].ids) : next, &caches[i]});
      who.push_back(i);
    }
    const Tensor rows = run_.model().forward(context, steps, LogitRows::kLast);
    ASSERT_EQ(rows.shape()[0], std::ssize(steps));
    for (size_t i = 0; i < who.size(); ++i)
      found[who[i]].push_back(rows.slice(0, static_cast<int64_t>(i), static_cast<int64_t>(i) + 1));
  }
  for (size_t i = 0; i < all.size(); ++i) {
    const auto expected = greedy_alone(all[i], found[i].size() - 1);
    for (size_t step = 0; step < expected.size(); ++step)
      EXPECT_TRUE(same_bits(found[i][step], expected[step])) << "sequence " << i << ", " << step;
  }
}

}  // namespace
}  // namespace strake
