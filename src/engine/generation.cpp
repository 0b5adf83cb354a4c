#include "engine/generation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/fail.h"
#include "base/hash.h"

namespace strake {
namespace {

using Clock = std::chrono::steady_clock;

// Prompts are run in pieces, so that activations stay small.
constexpr size_t kPrefillRows = 512;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::span<const float> last_row(const Tensor& logits) {
  const auto all = logits.data<float>();
  return all.last(static_cast<size_t>(logits.shape()[1]));
}

// What rank 0 decided after a step.
struct Decision {
  int32_t token;
  int32_t goes_on;
};

double log_sum_exp(std::span<const float> row) {
  const double largest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float x : row) sum += std::exp(x - largest);
  return largest + std::log(sum);
}

}  // namespace

std::vector<int32_t> spread_ids(int64_t count, int64_t vocabulary) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>((i * 7919 + 13) % vocabulary));
  return ids;
}

Tensor run_step(Context& context, const Model& model, SequenceCache& cache,
                std::span<const int32_t> tokens, LogitRows rows) {
  const int64_t header[] = {cache.length(), static_cast<int64_t>(rows)};
  context.group.check_step(hash_values(tokens, hash_values(std::span<const int64_t>(header))));
  return model.forward(context, tokens, cache, rows);
}

GenerationResult generate(Context& context, const Model& model, SequenceCache& cache,
                          std::vector<int32_t>& history, std::span<const int32_t> prompt,
                          const GenerationOptions& options, const TokenSink& sink) {
  if (prompt.empty()) fail(ErrorKind::kUsage, "the prompt has no tokens");
  if (static_cast<int64_t>(prompt.size()) + options.max_tokens > cache.capacity())
    fail(ErrorKind::kUsage, "{} prompt tokens and {} to generate do not fit a cache of {}",
         prompt.size(), options.max_tokens, cache.capacity());
  // The longest common beginning stays in the cache; at least one token must be run for logits.
  const auto same = static_cast<size_t>(
      std::mismatch(history.begin(), history.end(), prompt.begin(), prompt.end()).first -
      history.begin());
  const auto kept =
      static_cast<size_t>(cache.shorten(static_cast<int64_t>(std::min(same, prompt.size() - 1))));
  history.assign(prompt.begin(), prompt.begin() + static_cast<long>(kept));

  GenerationResult result;
  result.prompt_tokens = static_cast<int64_t>(prompt.size() - kept);
  result.logits_hash = kHashSeed;
  const auto start = Clock::now();
  std::optional<Tensor> logits;
  for (auto rest = prompt.subspan(kept); !rest.empty();) {
    const auto piece = rest.first(std::min(rest.size(), kPrefillRows));
    logits = run_step(context, model, cache, piece, LogitRows::kLast);
    history.insert(history.end(), piece.begin(), piece.end());
    rest = rest.subspan(piece.size());
  }
  result.prefill_seconds = seconds_since(start);

  Sampler sampler(options.sampling);
  const auto decode_start = Clock::now();
  while (static_cast<int64_t>(result.tokens.size()) < options.max_tokens) {
    const auto row = last_row(*logits);
    result.logits_hash = hash_values(row, result.logits_hash);
    Decision decision{0, 1};
    if (context.group.rank() == 0) {
      decision.token = sampler.sample(row, history);
      const bool stops = std::find(options.stop_tokens.begin(), options.stop_tokens.end(),
                                   decision.token) != options.stop_tokens.end();
      if (stops) decision.goes_on = -1;
      if (!stops && !sink(decision.token)) decision.goes_on = 0;
    }
    context.group.broadcast(std::as_writable_bytes(std::span(&decision, 1)), 0);
    if (decision.goes_on < 0) {
      result.finish = FinishReason::kStop;
      break;
    }
    result.tokens.push_back(decision.token);
    if (decision.goes_on == 0) {
      result.finish = FinishReason::kCancelled;
      break;
    }
    if (static_cast<int64_t>(result.tokens.size()) == options.max_tokens) break;
    logits = run_step(context, model, cache, std::span(&decision.token, 1), LogitRows::kLast);
    history.push_back(decision.token);
    ++result.decode_steps;
  }
  result.decode_seconds = seconds_since(decode_start);
  return result;
}

double Score::mean() const {
  return std::accumulate(nll.begin(), nll.end(), 0.0) / static_cast<double>(nll.size());
}

Score score(Context& context, const Model& model, std::span<const int32_t> tokens,
            std::optional<Tensor>* logits) {
  SequenceCache cache = model.make_cache(std::ssize(tokens), context.activations);
  return score(context, model, cache, tokens, logits);
}

Score score(Context& context, const Model& model, SequenceCache& cache,
            std::span<const int32_t> tokens, std::optional<Tensor>* logits) {
  if (tokens.size() < 2)
    fail(ErrorKind::kUsage, "at least 2 tokens expected to score, found {}", tokens.size());
  Score result;
  result.logits_hash = kHashSeed;
  std::vector<Tensor> pieces;
  for (size_t begin = 0; begin < tokens.size(); begin += kPrefillRows) {
    const auto piece = tokens.subspan(begin, std::min(kPrefillRows, tokens.size() - begin));
    const Tensor rows = run_step(context, model, cache, piece, LogitRows::kAll);
    const auto values = rows.data<float>();
    const auto width = static_cast<size_t>(rows.shape()[1]);
    result.logits_hash = hash_values(values, result.logits_hash);
    for (size_t i = 0; i < piece.size() && begin + i + 1 < tokens.size(); ++i) {
      const auto row = values.subspan(i * width, width);
      const auto next = static_cast<size_t>(tokens[begin + i + 1]);
      if (next >= width)
        fail(ErrorKind::kUsage, "token id below {} expected, found {}", width,
             tokens[begin + i + 1]);
      result.nll.push_back(log_sum_exp(row) - static_cast<double>(row[next]));
    }
    if (logits != nullptr) pieces.push_back(rows);
  }
  if (logits != nullptr) *logits = concatenate(pieces, 0);
  return result;
}

}  // namespace strake
