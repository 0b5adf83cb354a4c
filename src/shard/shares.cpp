#include "strake/shard/shares.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "base/fail.h"

namespace strake {
namespace {

constexpr int64_t kMaxWeight = 1'000'000;

}  // namespace

Shares Shares::equal(int ranks) {
  if (ranks < 1 || ranks > kMaxRanks)
    fail(ErrorKind::kUsage, "ranks: 1 to {} expected, found {}; the nearest that works is {}",
         kMaxRanks, ranks, std::clamp(ranks, 1, kMaxRanks));
  return Shares(std::vector<int64_t>(static_cast<size_t>(ranks), 1));
}

Shares Shares::weighted(std::vector<int64_t> weights) {
  equal(static_cast<int>(std::min<size_t>(weights.size(), kMaxRanks + 1)));
  for (const int64_t weight : weights)
    if (weight < 1 || weight > kMaxWeight)
      fail(ErrorKind::kUsage, "share: weights from 1 to {} expected, found {}", kMaxWeight, weight);
  return Shares(std::move(weights));
}

Shares Shares::parse(std::string_view text) {
  std::vector<int64_t> weights;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (;;) {
    int64_t weight = 0;
    const auto [next, error] = std::from_chars(at, end, weight);
    if (error != std::errc() || (next != end && *next != ','))
      fail(ErrorKind::kUsage, "share: whole numbers like 2,1 expected, found '{}'", text);
    weights.push_back(weight);
    if (next == end) return weighted(std::move(weights));
    at = next + 1;
  }
}

bool Shares::is_equal() const {
  return std::all_of(weights_.begin(), weights_.end(),
                     [&](int64_t weight) { return weight == weights_.front(); });
}

int64_t Shares::total() const { return before(ranks()); }

int64_t Shares::before(int rank) const {
  return std::accumulate(weights_.begin(), weights_.begin() + rank, int64_t{0});
}

}  // namespace strake
