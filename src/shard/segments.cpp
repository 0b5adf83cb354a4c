#include "strake/shard/segments.h"

#include <cmath>

#include "base/fail.h"

namespace strake {
namespace {

// Times the sum of all shares it stays below 2^63.
constexpr int64_t kMaxExtent = int64_t{1} << 38;

}  // namespace

Segments Segments::count(int64_t parts) { return Segments(Cuts(Count{parts})); }

Segments Segments::positions(std::vector<int64_t> positions) {
  return Segments(Cuts(Positions{std::move(positions)}));
}

Segments Segments::fractions(std::vector<double> fractions) {
  return Segments(Cuts(Fractions{std::move(fractions)}));
}

std::vector<int64_t> Segments::bounds(std::string_view name, int64_t extent, int64_t unit) const {
  if (extent > kMaxExtent)
    fail(ErrorKind::kUsage, "{}: at most {} elements expected, found {}", name, kMaxExtent, extent);
  if (unit < 1 || extent < 1 || extent % unit != 0)
    fail(ErrorKind::kUsage, "{}: {} elements are not whole units of {}", name, extent, unit);
  std::vector<int64_t> cuts;
  if (const auto* count = std::get_if<Count>(&cuts_)) {
    if (count->parts < 1 || extent % count->parts != 0)
      fail(ErrorKind::kUsage, "{}: {} elements do not divide into {} equal segments", name, extent,
           count->parts);
    for (int64_t i = 1; i < count->parts; ++i) cuts.push_back(extent / count->parts * i);
  } else if (const auto* positions = std::get_if<Positions>(&cuts_)) {
    cuts = positions->at;
  } else {
    for (const double fraction : std::get<Fractions>(cuts_).at) {
      if (!(fraction > 0 && fraction < 1))
        fail(ErrorKind::kUsage, "{}: segment fraction {} expected between 0 and 1", name, fraction);
      const double position = fraction * static_cast<double>(extent);
      // 1/3 and the like are not exact in binary: allow for a few roundings.
      if (std::abs(position - std::rint(position)) > 1e-14 * static_cast<double>(extent))
        fail(ErrorKind::kUsage, "{}: segment fraction {} of {} elements is {}, not a whole element",
             name, fraction, extent, position);
      cuts.push_back(std::llrint(position));
    }
  }
  std::vector<int64_t> bounds{0};
  for (const int64_t cut : cuts) {
    if (cut <= bounds.back() || cut >= extent)
      fail(ErrorKind::kUsage, "{}: segment cut {} expected between {} and {}", name, cut,
           bounds.back(), extent);
    if (cut % unit != 0)
      fail(ErrorKind::kUsage, "{}: segment cut {} must be a multiple of {}", name, cut, unit);
    bounds.push_back(cut);
  }
  bounds.push_back(extent);
  return bounds;
}

}  // namespace strake
