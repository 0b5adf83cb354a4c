#include "models/model.h"

#include "base/fail.h"
#include "base/recycled.h"

namespace strake {
namespace {

void check_steps(std::span<const SequenceStep> steps) {
  for (const SequenceStep& step : steps) {
    const SequenceCache& cache = *step.cache;
    if (std::ssize(step.tokens) > cache.capacity() - cache.length())
      fail(ErrorKind::kUsage, "forward: positions below {} expected, found {} rows from {} on",
           cache.capacity(), step.tokens.size(), cache.length());
    if (step.tokens.empty()) fail(ErrorKind::kUsage, "forward: a sequence without tokens");
  }
}

// The last row of each sequence.
Tensor last_rows(const Tensor& x, std::span<const SequenceStep> steps) {
  Recycled<Tensor> rows;
  int64_t end = 0;
  for (const SequenceStep& step : steps) {
    end += std::ssize(step.tokens);
    rows.push_back(x.slice(0, end - 1, end));
  }
  return rows.size() == 1 ? rows.front() : concatenate(rows, 0);
}

}  // namespace

Tensor Model::forward(Context& context, std::span<const SequenceStep> steps, LogitRows rows) const {
  if (steps.empty()) fail(ErrorKind::kUsage, "forward: no sequence");
  check_steps(steps);
  Recycled<int32_t> tokens;
  for (const SequenceStep& step : steps)
    tokens.insert(tokens.end(), step.tokens.begin(), step.tokens.end());
  Tensor x = run(context, TokenIds(tokens), steps);
  for (const SequenceStep& step : steps) step.cache->advance(std::ssize(step.tokens));
  if (rows == LogitRows::kLast) x = last_rows(x, steps);
  return logits(context, x);
}

Tensor Model::forward(Context& context, std::span<const int32_t> tokens, SequenceCache& cache,
                      LogitRows rows) const {
  const SequenceStep step{tokens, &cache};
  return forward(context, std::span(&step, 1), rows);
}

Tensor Model::forward_again(Context& context, const TokenIds& token, const Position& position,
                            SequenceCache& cache) const {
  const SequenceStep step{token.ids, &cache, position};
  const std::span<const SequenceStep> steps(&step, 1);
  check_steps(steps);
  return logits(context, run(context, token, steps));
}

}  // namespace strake
