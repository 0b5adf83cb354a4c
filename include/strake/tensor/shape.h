// The extents of a tensor.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

namespace strake {

// Extents, outermost first. All are at least 0 and their product fits an int64_t.
class Shape {
 public:
  Shape() = default;  // a scalar: no axes, one element
  Shape(std::initializer_list<int64_t> extents) : Shape(std::vector<int64_t>(extents)) {}
  // Throws Error(kUsage) for a negative extent or a product that overflows.
  explicit Shape(std::vector<int64_t> extents);

  int rank() const { return static_cast<int>(extents_.size()); }
  // Negative axes count from the end, as in shape[-1]. Throws Error(kInternal) out of range.
  int64_t operator[](int axis) const;
  int64_t elements() const { return elements_; }
  std::span<const int64_t> extents() const { return extents_; }

  // The same shape with one extent replaced.
  Shape with(int axis, int64_t extent) const;
  std::string to_string() const;  // "[2, 3]"

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  int position(int axis) const;

  std::vector<int64_t> extents_;
  int64_t elements_ = 1;
};

}  // namespace strake
