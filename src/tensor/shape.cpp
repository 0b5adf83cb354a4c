#include "strake/tensor/shape.h"

#include <algorithm>

#include "base/checked.h"
#include "base/fail.h"

namespace strake {

Shape::Shape(std::span<const int64_t> extents) : rank_(static_cast<int>(extents.size())) {
  if (extents.size() > kMaxRank)
    fail(ErrorKind::kUsage, "a shape of at most {} axes expected, found {}", kMaxRank,
         extents.size());
  std::ranges::copy(extents, extents_.begin());
  const auto product = checked_product(extents);
  if (!product)
    fail(ErrorKind::kUsage, "shape {}: extents must be at least 0 and their product below 2^63",
         to_string());
  elements_ = *product;
}

void Shape::refuse(int axis) const {
  fail(ErrorKind::kInternal, "axis {} of a shape of rank {}", axis, rank_);
}

Shape Shape::with(int axis, int64_t extent) const {
  auto extents = extents_;
  extents[position(axis)] = extent;
  return Shape(std::span<const int64_t>(extents).first(static_cast<size_t>(rank_)));
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (const int64_t extent : extents())
    text += (text.size() == 1 ? "" : ", ") + std::to_string(extent);
  return text + "]";
}

}  // namespace strake
