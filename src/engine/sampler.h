// From the logits of one position to the next token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/random.h"
#include "engine/sampling_options.h"

namespace strake {

class Sampler {
 public:
  // Throws Error(kUsage) naming the option that is out of its range.
  explicit Sampler(SamplingOptions options);

  // `history` is the prompt and the tokens generated so far. The n-th call draws the same token
  // for the same seed, logits and history as mlx-lm does on a CPU from float32 logits of one row;
  // at temperature 0 the lowest of equals wins. Throws Error(kCheckpoint) on logits that are
  // empty, NaN, +infinity or all -infinity, and Error(kUsage) on options or tokens of the history
  // that do not fit the vocabulary.
  int32_t sample(std::span<const float> logits,  // [vocabulary]
                 std::span<const int32_t> history);

 private:
  SamplingOptions options_;
  Random random_;
  std::vector<float> row_;  // [vocabulary], what becomes of the logits
};

}  // namespace strake
