#include "engine/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <string_view>
#include <utility>

#include "base/fail.h"

namespace strake {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Beyond these a reciprocal or a product of ordinary logits leaves float32.
constexpr double kLeastFactor = 1e-30;
constexpr double kMostFactor = 1e30;

using Row = std::span<float>;

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

void require_token(std::string_view where, int32_t token, size_t vocabulary) {
  if (token < 0 || static_cast<size_t>(token) >= vocabulary)
    fail(ErrorKind::kUsage, "{}: tokens from 0 to {} expected, found {}", where, vocabulary - 1,
         token);
}

void require_logits(std::string_view what, ErrorKind kind, std::span<const float> row) {
  float largest = -kInfinity;
  for (size_t token = 0; token < row.size(); ++token) {
    if (!(row[token] < kInfinity))
      fail(kind, "{}: numbers below infinity expected, found {} at token {}", what, row[token],
           token);
    largest = std::max(largest, row[token]);
  }
  if (largest == -kInfinity)
    fail(kind, "{}: a number above -infinity expected, found none among {}", what, row.size());
}

// e^x for x <= 0, with the bits of MLX: in running sums over a large vocabulary another's last bits
// change one token in some thousands. x log2(e) is split into a whole number, which becomes the
// exponent, and a rest, which goes through Cephes' polynomial. Its steps are fused multiply-adds:
// for every float32 from -88 to 0, those in double round to the same result.
float exponential(float x) {
  if (x < -88.0f) return 0.0f;
  const float power = x * 1.442695f;
  const float above = power + 0.5f;
  auto whole = static_cast<int32_t>(above);
  if (static_cast<float>(whole) > above) --whole;
  const double rest = power - static_cast<float>(whole);
  float result = 1.535336188319500e-4f;
  for (const float coefficient :
       {1.339887440266574e-3f, 9.618437357674640e-3f, 5.550332471162809e-2f, 2.402264791363012e-1f,
        6.931472028550421e-1f, 1.0f})
    result = static_cast<float>(result * rest + coefficient);
  return std::bit_cast<float>((whole + 127) << 23) * result;
}

float largest_of(std::span<const float> row) { return *std::max_element(row.begin(), row.end()); }

// Each x becomes e^(x - largest). Returns their sum, added from the first to the last.
float exponentiate(Row row) {
  const float largest = largest_of(row);
  float sum = 0;
  for (float& x : row) {
    x = exponential(x - largest);
    sum += x;
  }
  return sum;
}

void to_log_probabilities(Row row) {
  const float largest = largest_of(row);
  float sum = 0;
  for (const float x : row) sum += exponential(x - largest);
  const float log_sum = std::log(sum) + largest;
  for (float& x : row) x -= log_sum;
}

void drop_below(Row row, float threshold) {
  for (float& x : row)
    if (x < threshold) x = -kInfinity;
}

// The fewest of the most probable whose mass reaches `top_p` of all, and the equals of the last.
void keep_top_p(Row row, float top_p) {
  // Less than 2^-25 of the largest leaves a sum from the largest down as it is: no need to sort it.
  const float negligible = largest_of(row) - 17.5f;
  std::vector<float> sorted;
  std::copy_if(row.begin(), row.end(), std::back_inserter(sorted),
               [&](float x) { return x >= negligible; });
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  float total = 0;
  for (const float x : sorted) total += exponential(x);
  float above = 0;
  float threshold = sorted.front();
  for (const float x : sorted) {
    if (above >= top_p * total) break;
    threshold = x;
    above += exponential(x);
  }
  drop_below(row, threshold);
}

// Of equals at the edge, those that the iterators meet first stay.
template <class Iterator>
void keep_largest(Iterator first, Iterator last, int count) {
  std::vector<float> sorted(first, last);
  const auto nth = sorted.begin() + (count - 1);
  std::nth_element(sorted.begin(), nth, sorted.end(), std::greater<>());
  const float edge = *nth;
  auto spare = count - std::count_if(first, last, [&](float x) { return x > edge; });
  for (; first != last; ++first)
    if (*first < edge || (*first == edge && spare-- <= 0)) *first = -kInfinity;
}

void keep_top_k(Row row, int count) {
  if (static_cast<size_t>(count) >= row.size())
    fail(ErrorKind::kUsage, "top_k: less than the vocabulary of {} expected, found {}", row.size(),
         count);
  keep_largest(row.begin(), row.end(), count);
}

void keep_min_p(Row row, double min_p, int min_tokens) {
  if (static_cast<size_t>(min_tokens) > row.size())
    fail(ErrorKind::kUsage, "min_tokens_to_keep: at most the vocabulary of {} expected, found {}",
         row.size(), min_tokens);
  const float threshold = largest_of(row) + static_cast<float>(std::log(min_p));
  if (std::count_if(row.begin(), row.end(), [&](float x) { return x >= threshold; }) < min_tokens)
    keep_largest(row.rbegin(), row.rend(), min_tokens);
  else
    drop_below(row, threshold);
}

// The inverse of the cumulative distribution at `uniform`. Consumes the row.
int32_t draw(Row row, double temperature, float uniform) {
  const auto inverse = static_cast<float>(1.0 / temperature);
  for (float& x : row) x *= inverse;
  const float target = exponentiate(row) * uniform;
  size_t token = 0;
  float below = 0;  // the sum of the weights before `next`
  for (size_t next = 0; next < row.size() && below <= target; ++next) {
    token = next;
    below += row[next];
  }
  return static_cast<int32_t>(token);
}

}  // namespace

Sampler::Sampler(SamplingOptions options) : options_(std::move(options)), random_(options_.seed) {
  constexpr auto kAnyVocabulary = size_t{1} << 31;
  require_factor("temperature", options_.temperature);
  require_between("top_p", options_.top_p, 0, 1);
  require_between("min_p", options_.min_p, 0, 1);
  require_at_least("top_k", options_.top_k, 0);
  require_at_least("min_tokens_to_keep", options_.min_tokens_to_keep, 1);
  require_between("xtc_probability", options_.xtc_probability, 0, 1);
  require_between("xtc_threshold", options_.xtc_threshold, 0, 0.5);
  for (const int32_t token : options_.xtc_special_tokens)
    require_token("xtc_special_tokens", token, kAnyVocabulary);
  require_factor("repetition_penalty", options_.repetition_penalty);
  require_at_least("repetition_context", options_.repetition_context, 0);
  require_between("presence_penalty", options_.presence_penalty, -kMostFactor, kMostFactor);
  require_at_least("presence_context", options_.presence_context, 0);
  require_between("frequency_penalty", options_.frequency_penalty, -kMostFactor, kMostFactor);
  require_at_least("frequency_context", options_.frequency_context, 0);
  for (const auto& [token, bias] : options_.logit_bias) {
    require_token("logit_bias", token, kAnyVocabulary);
    require_between(fmt::format("logit_bias of token {}", token), bias, -kMostFactor, kMostFactor);
  }
}

int32_t Sampler::sample(std::span<const float> logits, std::span<const int32_t> history) {
  require_logits("logits", ErrorKind::kCheckpoint, logits);
  row_.assign(logits.begin(), logits.end());
  apply_penalties(history);
  require_logits("logits after bias and penalties", ErrorKind::kUsage, row_);
  if (options_.temperature == 0)
    return static_cast<int32_t>(std::max_element(row_.begin(), row_.end()) - row_.begin());
  to_log_probabilities(row_);
  apply_filters();
  return draw(row_, options_.temperature, random_.uniform());
}

void Sampler::apply_penalties(std::span<const int32_t> history) {
  const auto latest = [&](int context) {
    const auto count = static_cast<size_t>(context);
    const auto tokens = count == 0 || count >= history.size() ? history : history.last(count);
    for (const int32_t token : tokens) require_token("history", token, row_.size());
    return std::vector<int32_t>(tokens.begin(), tokens.end());
  };
  const auto distinct = [&](int context) {
    auto tokens = latest(context);
    std::sort(tokens.begin(), tokens.end());
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    return tokens;
  };
  for (const auto& [token, bias] : options_.logit_bias) {
    require_token("logit_bias", token, row_.size());
    row_[token] += bias;
  }
  if (options_.repetition_penalty != 0) {
    const auto penalty = static_cast<float>(options_.repetition_penalty);
    for (const int32_t token : distinct(options_.repetition_context))
      row_[token] = row_[token] < 0 ? row_[token] * penalty : row_[token] / penalty;
  }
  if (options_.presence_penalty != 0)
    for (const int32_t token : distinct(options_.presence_context))
      row_[token] -= static_cast<float>(options_.presence_penalty);
  if (options_.frequency_penalty != 0)
    for (const int32_t token : latest(options_.frequency_context))
      row_[token] -= static_cast<float>(options_.frequency_penalty);
}

// On log-probabilities, which are not normalised again in between.
void Sampler::apply_filters() {
  if (0 < options_.top_p && options_.top_p < 1)
    keep_top_p(row_, static_cast<float>(options_.top_p));
  if (options_.min_p != 0) keep_min_p(row_, options_.min_p, options_.min_tokens_to_keep);
  if (options_.xtc_probability > 0) exclude_top_choices();
  if (options_.top_k > 0) keep_top_k(row_, options_.top_k);
}

void Sampler::exclude_top_choices() {
  std::vector<float> probabilities = row_;
  const float scale = 1.0f / exponentiate(probabilities);
  const auto threshold = static_cast<float>(options_.xtc_threshold);
  float least = kInfinity;
  for (float& p : probabilities) {
    p *= scale;
    if (p > threshold) least = std::min(least, p);
  }
  for (const int32_t token : options_.xtc_special_tokens) {
    require_token("xtc_special_tokens", token, row_.size());
    probabilities[token] = 0;  // stays
  }
  if (random_.uniform() > static_cast<float>(options_.xtc_probability)) return;
  for (size_t token = 0; token < row_.size(); ++token)
    if (probabilities[token] > least) row_[token] = -kInfinity;
}

}  // namespace strake
