// Text generation: prefill, then one token a step.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/sampling_options.h"
#include "models/model.h"
#include "strake/nn/context.h"

namespace strake {

enum class FinishReason { kStop, kLength, kCancelled };

const char* to_string(FinishReason reason);  // "stop"

struct GenerationOptions {
  int64_t max_tokens = 100;
  std::vector<int32_t> stop_tokens;  // end the text; not part of it
  SamplingOptions sampling;
};

struct GenerationResult {
  std::vector<int32_t> tokens;  // without the stop token
  FinishReason finish = FinishReason::kLength;
  int64_t prompt_tokens = 0;  // run now, not found in the cache
  double prefill_seconds = 0;
  double decode_seconds = 0;
  int64_t decode_steps = 0;
  uint64_t logits_hash = 0;  // of every row of logits that a token was chosen from
};

// Sees each token as it is chosen, on rank 0; a reason ends the generation after it, on all ranks.
using TokenSink = std::function<std::optional<FinishReason>(int32_t)>;

// Continues `prompt` on all ranks of the context together. Every rank passes the same arguments;
// rank 0 decides which token follows and whether the text ends, and broadcasts it. What the cache
// already holds of the prompt is not run again: `history` names the tokens in the cache and becomes
// all tokens run. Throws Error(kUsage) for an empty prompt or one that does not fit the cache.
GenerationResult generate(Context& context, const Model& model, SequenceCache& cache,
                          std::vector<int32_t>& history, std::span<const int32_t> prompt,
                          const GenerationOptions& options, const TokenSink& sink);

// Negative log-likelihoods (natural log) of tokens[1..] given those before, in float64. Where
// `logits` is given, it becomes float32 [tokens, vocabulary].
struct Score {
  std::vector<double> nll;  // by predicted token
  uint64_t logits_hash = 0;
  double mean() const;
};
Score score(Context& context, const Model& model, SequenceCache& cache,
            std::span<const int32_t> tokens, std::optional<Tensor>* logits = nullptr);
// With a cache of its own, in the dtype of the activations.
Score score(Context& context, const Model& model, std::span<const int32_t> tokens,
            std::optional<Tensor>* logits = nullptr);

// Token ids spread over the vocabulary: a prompt for a model of any tokenizer.
std::vector<int32_t> spread_ids(int64_t count, int64_t vocabulary);

}  // namespace strake
