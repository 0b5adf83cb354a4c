#include "engine/sampling_options.h"

#include "base/fail.h"

namespace strake {
namespace {

// Beyond these a reciprocal or a product of ordinary logits leaves float32.
constexpr double kLeastFactor = 1e-30;
constexpr double kMostFactor = 1e30;
constexpr auto kAnyVocabulary = size_t{1} << 31;

void require_between(std::string_view option, double value, double least, double most) {
  if (!(least <= value && value <= most))
    fail(ErrorKind::kUsage, "{}: {} to {} expected, found {}", option, least, most, value);
}

void require_factor(std::string_view option, double value) {
  if (value != 0 && !(kLeastFactor <= value && value <= kMostFactor))
    fail(ErrorKind::kUsage, "{}: 0, or {} to {} expected, found {}", option, kLeastFactor,
         kMostFactor, value);
}

void require_at_least(std::string_view option, int value, int least) {
  if (value < least)
    fail(ErrorKind::kUsage, "{}: at least {} expected, found {}", option, least, value);
}

}  // namespace

void check_sampling_options(const SamplingOptions& options) {
  require_factor("temperature", options.temperature);
  require_between("top_p", options.top_p, 0, 1);
  require_between("min_p", options.min_p, 0, 1);
  require_at_least("top_k", options.top_k, 0);
  require_at_least("min_tokens_to_keep", options.min_tokens_to_keep, 1);
  require_between("xtc_probability", options.xtc_probability, 0, 1);
  require_between("xtc_threshold", options.xtc_threshold, 0, 0.5);
  for (const int32_t token : options.xtc_special_tokens)
    require_token("xtc_special_tokens", token, kAnyVocabulary);
  require_factor("repetition_penalty", options.repetition_penalty);
  require_at_least("repetition_context_size", options.repetition_context_size, 0);
  require_between("presence_penalty", options.presence_penalty, -kMostFactor, kMostFactor);
  require_at_least("presence_context_size", options.presence_context_size, 0);
  require_between("frequency_penalty", options.frequency_penalty, -kMostFactor, kMostFactor);
  require_at_least("frequency_context_size", options.frequency_context_size, 0);
  for (const auto& [token, bias] : options.logit_bias) {
    require_token("logit_bias", token, kAnyVocabulary);
    require_between(fmt::format("logit_bias of token {}", token), bias, -kMostFactor, kMostFactor);
  }
}

void require_token(std::string_view where, int32_t token, size_t vocabulary) {
  if (token < 0 || static_cast<size_t>(token) >= vocabulary)
    fail(ErrorKind::kUsage, "{}: tokens from 0 to {} expected, found {}", where, vocabulary - 1,
         token);
}

}  // namespace strake
