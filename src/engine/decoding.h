// One sequence, token by token: running it, and choosing what follows.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "engine/sampling_options.h"
#include "models/model.h"
#include "strake/nn/context.h"

namespace strake {

// All ranks make the same calls.
class Decoding {
 public:
  virtual ~Decoding() = default;

  // Where the backend chooses tokens, and the options need no more than the last logits, each rank
  // chooses them there by itself: a step is then recorded, if the backend can, and the host only
  // asks for its token. Otherwise logits come to the host, and rank 0 chooses. Throws Error(kUsage)
  // for options out of their range. Context, model and cache must live as long.
  static std::unique_ptr<Decoding> make(Context& context, const Model& model, SequenceCache& cache,
                                        const SamplingOptions& sampling);

  // Runs some of the prompt's tokens after those in the cache.
  virtual void prefill(std::span<const int32_t> tokens) = 0;
  // The token after the last that ran; `history` is all that ran. It counts on rank 0. Throws what
  // Sampler::sample() throws.
  virtual int32_t choose(std::span<const int32_t> history) = 0;
  // Runs the token that was chosen: rank 0's `token`.
  virtual void step(int32_t token) = 0;
  // Of every row of logits that a token was chosen from (hash_row()).
  virtual uint64_t logits_hash() const = 0;
};

// Compares over the ranks what a step is about to do.
void agree_on_step(Context& context, const SequenceCache& cache, std::span<const int32_t> tokens,
                   LogitRows rows);

// Runs `tokens` after those in the cache, all ranks having agreed on the step first -> logits, on
// the host.
Tensor run_step(Context& context, const Model& model, SequenceCache& cache,
                std::span<const int32_t> tokens, LogitRows rows);

}  // namespace strake
