#include "strake/tensor/shape.h"

#include <gtest/gtest.h>

#include <limits>

#include "io/expect_error.h"

namespace strake {
namespace {

TEST(Shape, KnowsItsExtents) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape.elements(), 24);
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[2], 4);
  EXPECT_EQ(shape[-1], 4);
  EXPECT_EQ(shape[-3], 2);
  EXPECT_EQ(shape.to_string(), "[2, 3, 4]");
  EXPECT_EQ(shape.with(1, 5), Shape({2, 5, 4}));
  EXPECT_EQ(shape.with(-1, 0).elements(), 0);
  EXPECT_NE(shape, Shape({2, 3}));
}

TEST(Shape, WithoutAxesHasOneElement) {
  EXPECT_EQ(Shape().rank(), 0);
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ(Shape().to_string(), "[]");
}

TEST(Shape, RefusesAxesThatItLacks) {
  const Shape shape{2, 3};
  for (const int axis : {2, -3, 100})
    expect_error(ErrorKind::kInternal, "axis " + std::to_string(axis) + " of a shape of rank 2",
                 [&] { static_cast<void>(shape[axis]); });
  expect_error(ErrorKind::kInternal, "of rank 0", [] { static_cast<void>(Shape()[0]); });
}

TEST(Shape, RefusesProductsThatOverflow) {
  constexpr int64_t kLarge = int64_t{1} << 32;
  expect_error(ErrorKind::kUsage, "[2, -1]", [] { Shape shape{2, -1}; });
  expect_error(ErrorKind::kUsage, "their product below 2^63", [] { Shape shape{kLarge, kLarge}; });
  expect_error(ErrorKind::kUsage, "their product below 2^63", [] {
    Shape({kLarge, 2}).with(1, kLarge);
  });
  EXPECT_EQ(Shape({kLarge, kLarge / 4}).elements(), int64_t{1} << 62);
}

}  // namespace
}  // namespace strake
