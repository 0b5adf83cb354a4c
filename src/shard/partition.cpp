#include "strake/shard/partition.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/fail.h"

namespace strake {

Dimension::Dimension(std::string name, int64_t extent, int64_t unit, const Segments& segments)
    : name_(std::move(name)),
      unit_(unit),
      preferred_unit_(unit),
      bounds_(segments.bounds(name_, extent, unit)) {}

Dimension Dimension::with_preferred_unit(int64_t unit) const {
  for (const int64_t bound : bounds_)
    if (unit < 1 || unit % unit_ != 0 || bound % unit != 0)
      fail(ErrorKind::kInternal, "{}: preferred unit {} against unit {} and bound {}", name_, unit,
           unit_, bound);
  Dimension result = *this;
  result.preferred_unit_ = unit;
  return result;
}

int64_t Dimension::unit_for(int ranks) const {
  return extent() / preferred_unit_ >= std::max(ranks, parts_) ? preferred_unit_ : unit_;
}

Dimension Dimension::with_parts(int parts) const {
  Dimension result = *this;
  result.parts_ = parts;
  return result;
}

std::vector<int64_t> Dimension::unit_cuts(Range segment, int runs) const {
  const int64_t unit = unit_for(runs);
  const int64_t units = segment.size() / unit;
  std::vector<int64_t> cuts;
  for (int64_t run = 0; run <= runs; ++run)
    cuts.push_back(segment.begin +
                   unit * (units / runs * run + std::min<int64_t>(run, units % runs)));
  return cuts;
}

std::vector<int64_t> Dimension::equal_cuts(Range segment, int ranks) const {
  if (parts_ == 0) return unit_cuts(segment, ranks);
  std::vector<int64_t> parts = unit_cuts(segment, parts_);
  parts.erase(std::unique(parts.begin(), parts.end()), parts.end());
  const int64_t count = std::ssize(parts) - 1;
  std::vector<int64_t> cuts;
  for (int64_t rank = 0; rank <= ranks; ++rank)
    cuts.push_back(
        parts[static_cast<size_t>(count / ranks * rank + std::min<int64_t>(rank, count % ranks))]);
  return cuts;
}

std::vector<int64_t> Dimension::canonical_cuts() const {
  std::set<int64_t> cuts;
  const int fewest = parts_ == 0 ? 1 : parts_;
  const int most = parts_ == 0 ? kMaxRanks : parts_;
  for (size_t i = 0; i + 1 < bounds_.size(); ++i)
    for (int runs = fewest; runs <= most; ++runs)
      for (const int64_t cut : unit_cuts({bounds_[i], bounds_[i + 1]}, runs)) cuts.insert(cut);
  return {cuts.begin(), cuts.end()};
}

std::vector<int64_t> Dimension::weighted_cuts(Range segment, const Shares& shares) const {
  std::vector<int64_t> canonical = canonical_cuts();
  const int64_t unit = unit_for(shares.ranks());
  std::erase_if(canonical, [&](int64_t cut) { return cut % unit != 0; });
  std::vector<int64_t> cuts;
  for (int rank = 0; rank <= shares.ranks(); ++rank) {
    // The ideal cut, as a multiple of 1/total; snapped to the nearest canonical one.
    const int64_t total = shares.total();
    const int64_t ideal = segment.begin * total + segment.size() * shares.before(rank);
    const auto nearer = [&](int64_t a, int64_t b) {
      return std::abs(a * total - ideal) < std::abs(b * total - ideal);
    };
    const auto first = std::lower_bound(canonical.begin(), canonical.end(), segment.begin);
    const auto last = std::upper_bound(canonical.begin(), canonical.end(), segment.end);
    cuts.push_back(*std::min_element(first, last, nearer));
  }
  return cuts;
}

Partition::Partition(int64_t extent, int64_t unit, std::vector<std::vector<Range>> ranges,
                     Overlap overlap)
    : extent_(extent), unit_(unit), ranges_(std::move(ranges)), replicated_(false) {
  std::vector<Range> all;
  for (auto& held : ranges_) {
    std::vector<Range> merged;
    for (const Range range : held) {
      if (range.size() == 0) continue;
      if (!merged.empty() && merged.back().end == range.begin)
        merged.back().end = range.end;
      else
        merged.push_back(range);
    }
    held = std::move(merged);
    all.insert(all.end(), held.begin(), held.end());
  }
  std::sort(all.begin(), all.end(), [](Range a, Range b) { return a.begin < b.begin; });
  int64_t covered = 0;
  for (const Range range : all) {
    if (range.begin > covered) break;
    replicated_ = replicated_ || range.begin < covered;
    covered = std::max(covered, range.end);
  }
  if (covered != extent_ || (replicated_ && overlap == Overlap::kNone))
    fail(ErrorKind::kInternal, "a partition of {} elements covers {} of them{}", extent_, covered,
         replicated_ ? ", some twice" : "");
}

Partition Partition::divide(const Dimension& dimension, const Shares& shares) {
  std::vector<std::vector<Range>> ranges(static_cast<size_t>(shares.ranks()));
  for (size_t i = 0; i + 1 < dimension.bounds_.size(); ++i) {
    const Range segment{dimension.bounds_[i], dimension.bounds_[i + 1]};
    const auto cuts = shares.is_equal() ? dimension.equal_cuts(segment, shares.ranks())
                                        : dimension.weighted_cuts(segment, shares);
    for (size_t rank = 0; rank < ranges.size(); ++rank)
      ranges[rank].push_back({cuts[rank], cuts[rank + 1]});
  }
  return {dimension.extent(), dimension.unit_for(shares.ranks()), std::move(ranges),
          Overlap::kNone};
}

Partition Partition::replicated(int64_t extent, int ranks) {
  return {extent, extent,
          std::vector<std::vector<Range>>(static_cast<size_t>(ranks), {{0, extent}}),
          Overlap::kDeclared};
}

Partition Partition::covering(const Partition& fine, int64_t ratio) {
  std::vector<std::vector<Range>> ranges;
  for (int rank = 0; rank < fine.ranks(); ++rank) {
    auto& held = ranges.emplace_back();
    for (const Range range : fine[rank]) {
      Range coarse{range.begin / ratio, (range.end + ratio - 1) / ratio};
      if (!held.empty()) coarse.begin = std::max(coarse.begin, held.back().end);
      held.push_back(coarse);
    }
  }
  return {fine.extent() / ratio, std::max<int64_t>(1, fine.unit() / ratio), std::move(ranges),
          Overlap::kDeclared};
}

Partition Partition::scaled(int64_t factor) const {
  auto ranges = ranges_;
  for (auto& held : ranges)
    for (Range& range : held) range = {range.begin * factor, range.end * factor};
  return {extent_ * factor, unit_ * factor, std::move(ranges),
          replicated_ ? Overlap::kDeclared : Overlap::kNone};
}

std::span<const Range> Partition::operator[](int rank) const {
  return ranges_.at(static_cast<size_t>(rank));
}

int64_t Partition::size(int rank) const {
  int64_t size = 0;
  for (const Range range : (*this)[rank]) size += range.size();
  return size;
}

bool Partition::is_even() const {
  for (int rank = 1; rank < ranks(); ++rank)
    if (size(rank) != size(0)) return false;
  return true;
}

std::string Partition::to_string(int rank) const {
  std::string text;
  for (const Range range : (*this)[rank])
    text += fmt::format("{}[{}, {})", text.empty() ? "" : " + ", range.begin, range.end);
  return text.empty() ? "none" : text;
}

}  // namespace strake
