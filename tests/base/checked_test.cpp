#include "base/checked.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace strake {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

TEST(Checked, MultipliesUpToTheLimit) {
  EXPECT_EQ(checked_mul<int64_t>(3, -4), -12);
  EXPECT_EQ(checked_mul<int64_t>(kMax, 1), kMax);
  EXPECT_EQ(checked_mul<int64_t>(kMax / 2, 2), kMax - 1);
  EXPECT_EQ(checked_mul<int64_t>(kMax / 2 + 1, 2), std::nullopt);
  EXPECT_EQ(checked_mul<int64_t>(kMin, -1), std::nullopt);
  EXPECT_EQ(checked_mul<uint64_t>(1ull << 32, 1ull << 32), std::nullopt);
  EXPECT_EQ(checked_mul<uint64_t>(1ull << 32, 1ull << 31), 1ull << 63);
}

TEST(Checked, AddsUpToTheLimit) {
  EXPECT_EQ(checked_add<int64_t>(kMax - 1, 1), kMax);
  EXPECT_EQ(checked_add<int64_t>(kMax, 1), std::nullopt);
  EXPECT_EQ(checked_add<int64_t>(kMin, -1), std::nullopt);
  EXPECT_EQ(checked_add<uint64_t>(~0ull, 1), std::nullopt);
}

TEST(Checked, ProductOfExtents) {
  const auto product = [](std::vector<int64_t> factors) { return checked_product(factors); };
  EXPECT_EQ(product({}), 1);
  EXPECT_EQ(product({2, 3, 4}), 24);
  EXPECT_EQ(product({int64_t{1} << 31, int64_t{1} << 31}), int64_t{1} << 62);
  EXPECT_EQ(product({int64_t{1} << 32, int64_t{1} << 31}), std::nullopt);
  EXPECT_EQ(product({2, -1}), std::nullopt);
  EXPECT_EQ(product({0, kMax, kMax}), 0);
  EXPECT_EQ(product({kMax, kMax, 0}), std::nullopt);
}

}  // namespace
}  // namespace strake
