// How a dimension of the model divides over ranks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "strake/shard/segments.h"
#include "strake/shard/shares.h"

namespace strake {

// Elements [begin, end) of a dimension.
struct Range {
  int64_t begin;
  int64_t end;
  int64_t size() const { return end - begin; }
  friend bool operator==(const Range&, const Range&) = default;
};

// A dimension that ranks divide between them. Layers that must agree on how (the outputs of gate
// and up, the inputs of down) share one Dimension.
class Dimension {
 public:
  // `unit` elements stay together: quantization groups, heads. Throws Error(kUsage) that names
  // `name` when the extent, or a segment, is not whole units.
  Dimension(std::string name, int64_t extent, int64_t unit,
            const Segments& segments = Segments::count(1));

  // While there are enough of them for the ranks, larger units stay together too (the query heads
  // of one key-value head). `unit` must be a multiple of the small unit and divide the extent.
  Dimension with_preferred_unit(int64_t unit) const;

  // Divisions cut between so many equal parts alone, or as many as there are units: for backends
  // whose kernels want few and long sums.
  Dimension with_parts(int parts) const;

  const std::string& name() const { return name_; }
  int64_t extent() const { return bounds_.back(); }
  int64_t unit() const { return unit_; }
  // The unit that a division over so many ranks keeps whole.
  int64_t unit_for(int ranks) const;

  // Every boundary that a division over 1 to 16 equal ranks makes, or those of the parts; 0 and
  // the extent included: they depend on the model alone. All divisions, weighted ones too, cut here
  // and nowhere else.
  std::vector<int64_t> canonical_cuts() const;

 private:
  friend class Partition;
  // Cuts of segment [begin, end) into so many runs of units: the first get those left over.
  std::vector<int64_t> unit_cuts(Range segment, int runs) const;
  // The same for equal ranks, between parts where there are some.
  std::vector<int64_t> equal_cuts(Range segment, int ranks) const;
  std::vector<int64_t> weighted_cuts(Range segment, const Shares& shares) const;

  std::string name_;
  int64_t unit_;
  int64_t preferred_unit_;
  int parts_ = 0;                // 0: none
  std::vector<int64_t> bounds_;  // of the segments: 0, ..., extent
};

// Which elements of a dimension each rank holds. Disjoint and exhaustive, in order within each
// segment; a rank may hold none. Replication is declared: covering() and replicated().
class Partition {
 public:
  static Partition divide(const Dimension& dimension, const Shares& shares);
  // Every rank holds all.
  static Partition replicated(int64_t extent, int ranks);
  // For each rank the coarse elements that its fine elements belong to, `ratio` fine ones each:
  // key-value heads for query heads. Ranks overlap where their fine elements share a coarse one.
  static Partition covering(const Partition& fine, int64_t ratio);
  // Each element stands for `factor` consecutive ones: rows for heads.
  Partition scaled(int64_t factor) const;

  int ranks() const { return static_cast<int>(ranges_.size()); }
  int64_t extent() const { return extent_; }
  // Elements that stay together.
  int64_t unit() const { return unit_; }
  // The rank's elements, ascending, adjacent ranges merged; none when it holds nothing.
  std::span<const Range> operator[](int rank) const;
  int64_t size(int rank) const;
  // Whether all ranks hold equally many.
  bool is_even() const;
  // Whether some element is held by several ranks.
  bool is_replicated() const { return replicated_; }
  std::string to_string(int rank) const;  // "[0, 384)", "[0, 64) + [128, 192)", "none"

 private:
  enum class Overlap { kNone, kDeclared };
  Partition(int64_t extent, int64_t unit, std::vector<std::vector<Range>> ranges, Overlap overlap);

  int64_t extent_;
  int64_t unit_;
  std::vector<std::vector<Range>> ranges_;  // by rank
  bool replicated_;
};

}  // namespace strake
