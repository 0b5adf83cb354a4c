// How much of the model each rank takes.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace strake {

// The largest number of ranks whose boundaries the canonical cuts hold.
inline constexpr int kMaxRanks = 16;

// A weight for each rank; equal unless asked otherwise.
class Shares {
 public:
  // Throws Error(kUsage) unless 1 <= ranks <= kMaxRanks.
  static Shares equal(int ranks);
  // One positive weight a rank: {2, 1} gives rank 0 twice as much. Throws Error(kUsage).
  static Shares weighted(std::vector<int64_t> weights);
  // "2,1".
  static Shares parse(std::string_view text);

  int ranks() const { return static_cast<int>(weights_.size()); }
  bool is_equal() const;
  int64_t total() const;
  int64_t before(int rank) const;  // the weights of the ranks below `rank`

 private:
  explicit Shares(std::vector<int64_t> weights) : weights_(std::move(weights)) {}
  std::vector<int64_t> weights_;
};

}  // namespace strake
