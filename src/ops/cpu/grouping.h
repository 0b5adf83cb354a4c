// Items by the group that each is in: rows by the matrix that multiplies them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace strake::cpu {

class Grouping {
 public:
  // Item i is in group group_of[i], one of `groups`. Replaces what was there, in its memory.
  void assign(std::span<const int32_t> group_of, int64_t groups) {
    first_.assign(static_cast<size_t>(groups) + 1, 0);
    for (const int32_t group : group_of) ++first_[static_cast<size_t>(group) + 1];
    for (size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
    next_.assign(first_.begin(), first_.end());
    items_.resize(group_of.size());
    for (size_t i = 0; i < group_of.size(); ++i)
      items_[next_[static_cast<size_t>(group_of[i])]++] = static_cast<int64_t>(i);
  }

  int64_t groups() const { return std::ssize(first_) - 1; }
  std::span<const int64_t> items() const { return items_; }  // group by group
  // A group's, ascending.
  std::span<const int64_t> operator[](int64_t group) const {
    const auto i = static_cast<size_t>(group);
    return items().subspan(first_[i], first_[i + 1] - first_[i]);
  }

 private:
  std::vector<size_t> first_, next_;  // places in items_
  std::vector<int64_t> items_;
};

}  // namespace strake::cpu
