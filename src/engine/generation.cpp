#include "engine/generation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/fail.h"
#include "base/hash.h"
#include "engine/decoding.h"

namespace strake {
namespace {

using Clock = std::chrono::steady_clock;

// Texts are scored in pieces, since each token has logits.
constexpr size_t kScoredRows = 512;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What rank 0 decided after a step.
struct Decision {
  enum Kind : int32_t { kGoOn, kStopToken, kLastToken } kind;
  int32_t token;
  FinishReason finish;  // but with kGoOn
};

Decision decide(int32_t token, const GenerationOptions& options, const TokenSink& sink) {
  const auto& stops = options.stop_tokens;
  if (std::find(stops.begin(), stops.end(), token) != stops.end())
    return {Decision::kStopToken, token, FinishReason::kStop};
  const auto finish = sink(token);
  return {finish ? Decision::kLastToken : Decision::kGoOn, token,
          finish.value_or(FinishReason::kLength)};
}

double log_sum_exp(std::span<const float> row) {
  const double largest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float x : row) sum += std::exp(x - largest);
  return largest + std::log(sum);
}

}  // namespace

const char* to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "";
}

std::vector<int32_t> spread_ids(int64_t count, int64_t vocabulary) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>((i * 7919 + 13) % vocabulary));
  return ids;
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
  // Of their whole length at once: steps allocate nothing.
  const auto most_tokens = static_cast<size_t>(std::max<int64_t>(options.max_tokens, 0));
  history.reserve(prompt.size() + most_tokens);

  GenerationResult result;
  result.tokens.reserve(most_tokens);
  result.prompt_tokens = static_cast<int64_t>(prompt.size() - kept);
  const auto decoding = Decoding::make(context, model, cache, options.sampling);
  const auto start = Clock::now();
  // In pieces, so that activations stay small.
  const auto most_rows = static_cast<size_t>(context.backend.prompt_rows());
  for (auto rest = prompt.subspan(kept); !rest.empty();) {
    const auto piece = rest.first(std::min(rest.size(), most_rows));
    decoding->prefill(piece);
    history.insert(history.end(), piece.begin(), piece.end());
    rest = rest.subspan(piece.size());
  }
  result.prefill_seconds = seconds_since(start);

  const auto decode_start = Clock::now();
  while (static_cast<int64_t>(result.tokens.size()) < options.max_tokens) {
    const int32_t token = decoding->choose(history);
    Decision decision{};
    if (context.group.rank() == 0) decision = decide(token, options, sink);
    context.group.broadcast(std::as_writable_bytes(std::span(&decision, 1)), 0);
    if (decision.kind != Decision::kGoOn) result.finish = decision.finish;
    if (decision.kind == Decision::kStopToken) break;
    result.tokens.push_back(decision.token);
    if (decision.kind == Decision::kLastToken) break;
    if (static_cast<int64_t>(result.tokens.size()) == options.max_tokens) break;
    decoding->step(decision.token);
    history.push_back(decision.token);
    ++result.decode_steps;
  }
  result.decode_seconds = seconds_since(decode_start);
  result.logits_hash = decoding->logits_hash();
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
  for (size_t begin = 0; begin < tokens.size(); begin += kScoredRows) {
    const auto piece = tokens.subspan(begin, std::min(kScoredRows, tokens.size() - begin));
    const Tensor rows = run_step(context, model, cache, piece, LogitRows::kAll);
    const auto values = rows.data<float>();
    const auto width = static_cast<size_t>(rows.shape()[1]);
    for (size_t i = 0; i < piece.size(); ++i) {
      const auto row = values.subspan(i * width, width);
      result.logits_hash = hash_row(row, result.logits_hash);
      if (begin + i + 1 == tokens.size()) break;
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
