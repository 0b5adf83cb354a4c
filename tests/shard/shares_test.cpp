#include "strake/shard/shares.h"

#include <gtest/gtest.h>

#include "io/expect_error.h"

namespace strake {
namespace {

TEST(Shares, EqualOnesForEveryRankCount) {
  for (int ranks = 1; ranks <= kMaxRanks; ++ranks) {
    const Shares shares = Shares::equal(ranks);
    EXPECT_EQ(shares.ranks(), ranks);
    EXPECT_TRUE(shares.is_equal());
    EXPECT_EQ(shares.total(), ranks);
    for (int rank = 0; rank <= ranks; ++rank) EXPECT_EQ(shares.before(rank), rank);
  }
}

TEST(Shares, CountTheWeightsBeforeARank) {
  const Shares shares = Shares::weighted({1, 5, 2});
  EXPECT_EQ(shares.ranks(), 3);
  EXPECT_FALSE(shares.is_equal());
  EXPECT_EQ(shares.total(), 8);
  EXPECT_EQ(shares.before(0), 0);
  EXPECT_EQ(shares.before(1), 1);
  EXPECT_EQ(shares.before(2), 6);
  EXPECT_TRUE(Shares::weighted({7, 7, 7}).is_equal());
}

TEST(Shares, RefuseRankCountsAndNameTheNearest) {
  expect_error(ErrorKind::kUsage, "1 to 16 expected, found 0; the nearest that works is 1",
               [] { Shares::equal(0); });
  expect_error(ErrorKind::kUsage, "found -3; the nearest that works is 1",
               [] { Shares::equal(-3); });
  expect_error(ErrorKind::kUsage, "found 17; the nearest that works is 16",
               [] { Shares::equal(17); });
  expect_error(ErrorKind::kUsage, "the nearest that works is 1", [] { Shares::weighted({}); });
  expect_error(ErrorKind::kUsage, "the nearest that works is 16",
               [] { Shares::weighted(std::vector<int64_t>(17, 1)); });
}

TEST(Shares, RefuseWeightsThatGiveNothingOrTooMuch) {
  for (const int64_t weight : {int64_t{0}, int64_t{-1}, int64_t{1'000'001}})
    expect_error(ErrorKind::kUsage, "found " + std::to_string(weight), [&] {
      Shares::weighted({1, weight});
    });
  EXPECT_EQ(Shares::weighted({1, 1'000'000}).total(), 1'000'001);
}

TEST(Shares, AreReadFromText) {
  const Shares shares = Shares::parse("2,1,30");
  EXPECT_EQ(shares.ranks(), 3);
  EXPECT_EQ(shares.before(2), 3);
  EXPECT_EQ(shares.total(), 33);
  EXPECT_EQ(Shares::parse("4").ranks(), 1);
  for (const char* text :
       {"", ",", "2,", ",1", "2,,1", "2;1", "2, 1", "a", "1.5", "0x2", "99999999999999999999"})
    expect_error(ErrorKind::kUsage, std::string("found '") + text + "'",
                 [&] { Shares::parse(text); });
  expect_error(ErrorKind::kUsage, "found -1", [] { Shares::parse("2,-1"); });
}

}  // namespace
}  // namespace strake
