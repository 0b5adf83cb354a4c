#include "text_options.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <limits>
#include <type_traits>

#include "base/fail.h"
#include "engine/stop_strings.h"

namespace strake::cli {
namespace {

template <class T>
bool parse_number(const std::string& text, T& value) {
  const char* const end = text.data() + text.size();
  const auto [next, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && next == end;
}

// CLI11 alone takes an empty text for 0, and numbers that T does not hold for others.
template <class T>
void add_number(CLI::App& command, const std::string& name, T& value, const std::string& help) {
  const auto number = [](const std::string& text) -> std::string {
    if (T parsed{}; parse_number(text, parsed)) return {};
    if constexpr (std::is_floating_point_v<T>)
      return fmt::format("a number expected, found '{}'", text);
    else
      return fmt::format("a whole number from {} to {} expected, found '{}'",
                         std::numeric_limits<T>::min(), std::numeric_limits<T>::max(), text);
  };
  command.add_option(name, value, help)->check(number)->capture_default_str();
}

// An option that may be repeated. Each value is taken as it stands: CLI11 gives braces and brackets
// a meaning where it fills a vector itself.
void add_repeated(CLI::App& command, const std::string& name, const std::string& value,
                  const std::string& help, const std::function<void(const std::string&)>& take) {
  command.add_option(name, CLI::callback_t(), help)
      ->type_name(value)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->each(take);
}

void add_bias(std::map<int32_t, float>& biases, const std::string& text) {
  const size_t equals = text.find('=');
  int32_t token = 0;
  float bias = 0;
  if (equals == std::string::npos || !parse_number(text.substr(0, equals), token) ||
      !parse_number(text.substr(equals + 1), bias))
    fail(ErrorKind::kUsage,
         "--logit-bias: a token id and a number, as 50=-1.5, expected, found '{}'", text);
  if (!biases.emplace(token, bias).second)
    fail(ErrorKind::kUsage, "--logit-bias: each token once expected, found {} again", token);
}

// A special token leaves no text in which it could be found.
std::optional<int32_t> special_token(const Tokenizer& tokenizer, const std::string& text) {
  const auto id = tokenizer.token_id(text);
  if (!id) return {};
  const std::span<const int32_t> ids(&*id, 1);
  const bool special = tokenizer.decode(ids, SkipSpecial::kSkip).empty() &&
                       !tokenizer.decode(ids, SkipSpecial::kKeep).empty();
  return special ? id : std::nullopt;
}

}  // namespace

void TextOptions::check() const {
  try {
    check_sampling_options(generation.sampling);
    StopStrings{stop};
  } catch (const Error& error) {
    // Messages begin with the engine's name of the option: top_p for --top-p.
    std::string message = error.what();
    std::replace(message.begin(), message.begin() + static_cast<long>(message.find(':')), '_', '-');
    fail(error.kind(), "--{}", message);
  }
}

GenerationOptions TextOptions::with_tokens_of(const Session& session,
                                              const std::optional<Tokenizer>& tokenizer) const {
  GenerationOptions result = generation;
  result.stop_tokens = session.stop_tokens();
  result.sampling.xtc_special_tokens = session.stop_tokens();
  if (!tokenizer) {
    if (!stop.empty())
      fail(ErrorKind::kUsage, "--stop: a model with tokenizer.json expected, found one without");
    return result;
  }
  const auto newline = tokenizer->encode("\n", SpecialTokens::kAdd);  // as mlx-lm encodes it
  auto& xtc_special = result.sampling.xtc_special_tokens;
  xtc_special.insert(xtc_special.end(), newline.begin(), newline.end());
  for (const std::string& text : stop)
    if (const auto token = special_token(*tokenizer, text)) result.stop_tokens.push_back(*token);
  return result;
}

void add_text_options(CLI::App& command, TextOptions& options) {
  SamplingOptions& sampling = options.generation.sampling;
  add_number(command, "--temperature", sampling.temperature, "0: the likeliest token");
  add_number(command, "--top-p", sampling.top_p, "Likeliest tokens of this total probability");
  add_number(command, "--top-k", sampling.top_k, "This many likeliest tokens (0: all)");
  add_number(command, "--min-p", sampling.min_p, "Tokens of at least this part of the likeliest");
  add_number(command, "--min-tokens-to-keep", sampling.min_tokens_to_keep,
             "Tokens that --min-p leaves at least");
  add_number(command, "--xtc-probability", sampling.xtc_probability,
             "How often XTC leaves only the least likely of those above its threshold");
  add_number(command, "--xtc-threshold", sampling.xtc_threshold,
             "Probability above which XTC takes tokens out, 0 to 0.5");
  const auto add_penalty = [&](const std::string& name, auto& penalty, auto& context_size,
                               const char* help) {
    add_number(command, "--" + name + "-penalty", penalty, help);
    add_number(command, "--" + name + "-context-size", context_size,
               "Latest tokens that it looks at (0: all)");
  };
  add_penalty("repetition", sampling.repetition_penalty, sampling.repetition_context_size,
              "Above 1: tokens used lately become less likely (0: off)");
  add_penalty("presence", sampling.presence_penalty, sampling.presence_context_size,
              "Taken from the logit of each token used lately");
  add_penalty("frequency", sampling.frequency_penalty, sampling.frequency_context_size,
              "Taken from a token's logit for each time that it was used lately");
  add_repeated(command, "--logit-bias", "ID=X", "Added to the logit of this token; may be repeated",
               [&sampling](const std::string& text) { add_bias(sampling.logit_bias, text); });
  add_number(command, "--seed", sampling.seed, "Same seed, same text");
  add_repeated(command, "--stop", "TEXT", "Ends the text where TEXT would come; may be repeated",
               [&options](const std::string& text) { options.stop.push_back(text); });
}

}  // namespace strake::cli
