#include "engine/token_filters.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>

#include "base/fail.h"
#include "base/recycled.h"

namespace strake {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

void drop_below(Row row, float threshold) {
  for (float& x : row)
    if (x < threshold) x = -kInfinity;
}

// The fewest of the most probable whose mass reaches `top_p` of all, and the equals of the last.
void keep_top_p(Row row, float top_p) {
  // Less than 2^-25 of the largest leaves a sum from the largest down as it is: no need to sort it.
  const float negligible = largest_of(row) - 17.5f;
  Recycled<float> sorted;
  sorted.reserve(row.size());  // a size that does not change from row to row
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
  Recycled<float> sorted(first, last);
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

void exclude_top_choices(Row row, const SamplingOptions& options, Random& random) {
  Recycled<float> probabilities(row.begin(), row.end());
  const float scale = 1.0f / exponentiate(probabilities);
  const auto threshold = static_cast<float>(options.xtc_threshold);
  float least = kInfinity;
  for (float& p : probabilities) {
    p *= scale;
    if (p > threshold) least = std::min(least, p);
  }
  for (const int32_t token : options.xtc_special_tokens) {
    require_token("xtc_special_tokens", token, row.size());
    probabilities[token] = 0;  // stays
  }
  if (random.uniform() > static_cast<float>(options.xtc_probability)) return;
  for (size_t token = 0; token < row.size(); ++token)
    if (probabilities[token] > least) row[token] = -kInfinity;
}

}  // namespace

void filter_tokens(Row row, const SamplingOptions& options, Random& random) {
  if (0 < options.top_p && options.top_p < 1) keep_top_p(row, static_cast<float>(options.top_p));
  if (options.min_p != 0) keep_min_p(row, options.min_p, options.min_tokens_to_keep);
  if (options.xtc_probability > 0) exclude_top_choices(row, options, random);
  if (options.top_k > 0) keep_top_k(row, options.top_k);
}

}  // namespace strake
