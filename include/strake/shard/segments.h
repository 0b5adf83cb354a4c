// Parts of a fused dimension that are divided each for itself: q, k and v in one matrix.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace strake {

// MLX's `segments` argument, in elements of the logical dimension whatever its packing.
class Segments {
 public:
  // So many equal parts.
  static Segments count(int64_t parts);
  // Cut at these elements, ascending: {q, q + k} makes three parts.
  static Segments positions(std::vector<int64_t> positions);
  // Cut at these fractions of the dimension, each of which must be a whole element.
  static Segments fractions(std::vector<double> fractions);

  // 0, the cuts, extent. Throws Error(kUsage) that names `name`: an extent that is not whole units,
  // a cut outside the dimension, not ascending, not on a whole `unit`; a count or fraction that
  // does not divide evenly.
  std::vector<int64_t> bounds(std::string_view name, int64_t extent, int64_t unit) const;

 private:
  struct Count {
    int64_t parts;
  };
  struct Positions {
    std::vector<int64_t> at;
  };
  struct Fractions {
    std::vector<double> at;
  };
  using Cuts = std::variant<Count, Positions, Fractions>;
  explicit Segments(Cuts cuts) : cuts_(std::move(cuts)) {}
  Cuts cuts_;
};

}  // namespace strake
