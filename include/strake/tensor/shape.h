// The extents of a tensor.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace strake {

// Extents, outermost first, kept in place. All are at least 0 and their product fits an int64_t.
class Shape {
 public:
  static constexpr int kMaxRank = 8;  // axes

  Shape() = default;  // a scalar: no axes, one element
  Shape(std::initializer_list<int64_t> extents)
      : Shape(std::span<const int64_t>(extents.begin(), extents.size())) {}
  // Throws Error(kUsage) for more than kMaxRank axes, a negative extent or a product that
  // overflows.
  explicit Shape(std::span<const int64_t> extents);

  int rank() const { return rank_; }
  // Negative axes count from the end, as in shape[-1]. Throws Error(kInternal) out of range.
  int64_t operator[](int axis) const { return extents_[position(axis)]; }
  int64_t elements() const { return elements_; }
  std::span<const int64_t> extents() const {
    return std::span(extents_).first(static_cast<size_t>(rank_));
  }

  // The same shape with one extent replaced.
  Shape with(int axis, int64_t extent) const;
  std::string to_string() const;  // "[2, 3]"

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  size_t position(int axis) const {
    const int position = axis < 0 ? axis + rank_ : axis;
    if (position < 0 || position >= rank_) refuse(axis);
    return static_cast<size_t>(position);
  }
  [[noreturn]] void refuse(int axis) const;

  std::array<int64_t, kMaxRank> extents_{};  // zeros after the last
  int rank_ = 0;
  int64_t elements_ = 1;
};

}  // namespace strake
