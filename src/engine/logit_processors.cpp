#include "engine/logit_processors.h"

#include <algorithm>

#include "base/recycled.h"

namespace strake {

void process_logits(std::span<float> logits, std::span<const int32_t> history,
                    const SamplingOptions& options) {
  const auto latest = [&](int context_size) {
    const auto count = static_cast<size_t>(context_size);
    const auto tokens = count == 0 || count >= history.size() ? history : history.last(count);
    for (const int32_t token : tokens) require_token("history", token, logits.size());
    return tokens;
  };
  const auto distinct = [&](int context_size) {
    const auto all = latest(context_size);
    Recycled<int32_t> tokens(all.begin(), all.end());
    std::sort(tokens.begin(), tokens.end());
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    return tokens;
  };
  for (const auto& [token, bias] : options.logit_bias) {
    require_token("logit_bias", token, logits.size());
    logits[token] += bias;
  }
  if (options.repetition_penalty != 0) {
    const auto penalty = static_cast<float>(options.repetition_penalty);
    for (const int32_t token : distinct(options.repetition_context_size))
      logits[token] = logits[token] < 0 ? logits[token] * penalty : logits[token] / penalty;
  }
  if (options.presence_penalty != 0)
    for (const int32_t token : distinct(options.presence_context_size))
      logits[token] -= static_cast<float>(options.presence_penalty);
  if (options.frequency_penalty != 0)
    for (const int32_t token : latest(options.frequency_context_size))
      logits[token] -= static_cast<float>(options.frequency_penalty);
}

}  // namespace strake
