#include "engine/sampler.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "base/fail.h"
#include "engine/logit_processors.h"
#include "engine/softmax.h"
#include "engine/token_filters.h"

namespace strake {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

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
  check_sampling_options(options_);
}

int32_t Sampler::sample(std::span<const float> logits, std::span<const int32_t> history) {
  require_logits("logits", ErrorKind::kCheckpoint, logits);
  row_.assign(logits.begin(), logits.end());
  process_logits(row_, history, options_);
  require_logits("logits after bias and penalties", ErrorKind::kUsage, row_);
  if (options_.temperature == 0)
    return static_cast<int32_t>(std::max_element(row_.begin(), row_.end()) - row_.begin());
  to_log_probabilities(row_);
  filter_tokens(row_, options_, random_);
  return draw(row_, options_.temperature, random_.uniform());
}

}  // namespace strake
