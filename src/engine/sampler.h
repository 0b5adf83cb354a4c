// From the logits of one position to the next token.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "engine/random.h"

namespace strake {

// The options of mlx-lm, with the defaults of its command line. A context counts the latest tokens
// of the history that a penalty looks at; 0 is the whole history.
struct SamplingOptions {
  double temperature = 0;      // 0: the largest logit, and the filters and the seed have no part
  double top_p = 1;            // the most probable tokens that reach this mass; 0 and 1 keep all
  double min_p = 0;            // tokens at least this probable, relative to the most probable one
  int top_k = 0;               // the k most probable tokens; 0 keeps all
  int min_tokens_to_keep = 1;  // that min_p leaves

  // With this probability, of all tokens more probable than the threshold only the least
  // probable one stays, apart from the special tokens.
  double xtc_probability = 0;
  double xtc_threshold = 0;
  std::vector<int32_t> xtc_special_tokens = {};

  double repetition_penalty = 0;  // divides a logit above 0, multiplies one below; 0 is off
  int repetition_context = 20;
  double presence_penalty = 0;  // subtracted once from each token that occurs
  int presence_context = 20;
  double frequency_penalty = 0;  // subtracted for every occurrence
  int frequency_context = 20;
  std::map<int32_t, float> logit_bias = {};  // token -> what is added to its logit

  uint64_t seed = 0;
};

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
  void apply_penalties(std::span<const int32_t> history);
  void apply_filters();
  void exclude_top_choices();

  SamplingOptions options_;
  Random random_;
  std::vector<float> row_;  // [vocabulary], what becomes of the logits
};

}  // namespace strake
