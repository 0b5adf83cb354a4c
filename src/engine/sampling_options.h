// How tokens are chosen from logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

namespace strake {

// The options of mlx-lm by their names there, with the defaults of its command line. A context
// size counts the latest tokens of the history that a penalty looks at; 0 is the whole history.
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
  int repetition_context_size = 20;
  double presence_penalty = 0;  // subtracted once from each token that occurs
  int presence_context_size = 20;
  double frequency_penalty = 0;  // subtracted for every occurrence
  int frequency_context_size = 20;
  std::map<int32_t, float> logit_bias = {};  // token -> what is added to its logit

  uint64_t seed = 0;
};

// Throws Error(kUsage) whose message begins with the name of the option that is out of its range.
void check_sampling_options(const SamplingOptions& options);

// Throws Error(kUsage) on a token, found at `where`, that a vocabulary of this size does not have.
void require_token(std::string_view where, int32_t token, size_t vocabulary);

}  // namespace strake
