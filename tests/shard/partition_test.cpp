#include "strake/shard/partition.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "io/expect_error.h"

namespace strake {
namespace {

using testing::ElementsAre;

std::vector<int64_t> sizes(const Partition& partition) {
  std::vector<int64_t> sizes;
  for (int rank = 0; rank < partition.ranks(); ++rank) sizes.push_back(partition.size(rank));
  return sizes;
}

std::vector<std::string> texts(const Partition& partition) {
  std::vector<std::string> texts;
  for (int rank = 0; rank < partition.ranks(); ++rank) texts.push_back(partition.to_string(rank));
  return texts;
}

// Every element belongs to exactly one rank, and every boundary is one of `cuts` and of whole
// units.
void expect_division(const Partition& partition, const std::vector<int64_t>& cuts) {
  std::vector<Range> all;
  for (int rank = 0; rank < partition.ranks(); ++rank)
    all.insert(all.end(), partition[rank].begin(), partition[rank].end());
  std::sort(all.begin(), all.end(), [](Range a, Range b) { return a.begin < b.begin; });
  int64_t end = 0;
  for (const Range range : all) {
    ASSERT_EQ(range.begin, end);
    ASSERT_LT(range.begin, range.end);
    ASSERT_EQ(range.begin % partition.unit(), 0);
    ASSERT_TRUE(std::binary_search(cuts.begin(), cuts.end(), range.begin)) << range.begin;
    end = range.end;
  }
  ASSERT_EQ(end, partition.extent());
}

// A backend whose sums are few and long: ranks hold whole parts.
TEST(Partition, CutsBetweenPartsAlone) {
  for (const int64_t units : {1, 5, 16, 43, 344}) {
    const auto dimension = Dimension("width", units * 32, 32).with_parts(16);
    const auto cuts = dimension.canonical_cuts();
    ASSERT_EQ(std::ssize(cuts), std::min<int64_t>(units, 16) + 1);
    for (int ranks = 1; ranks <= kMaxRanks; ++ranks) {
      SCOPED_TRACE(testing::Message() << units << " units, " << ranks);
      const Partition partition = Partition::divide(dimension, Shares::equal(ranks));
      ASSERT_NO_FATAL_FAILURE(expect_division(partition, cuts));
    }
  }
  // The first ranks get the parts left over: parts are of 22 or 21 units.
  EXPECT_THAT(sizes(Partition::divide(Dimension("width", 344, 1).with_parts(16), Shares::equal(3))),
              ElementsAre(6 * 22, 2 * 22 + 3 * 21, 5 * 21));
}

TEST(Partition, DividesEveryExtentOverEveryRankCount) {
  for (const int64_t unit : {1, 2, 3, 32, 64, 80}) {
    for (int64_t units = 1; units <= 100; ++units) {
      const Dimension dimension("width", units * unit, unit);
      const auto cuts = dimension.canonical_cuts();
      for (int ranks = 1; ranks <= kMaxRanks; ++ranks) {
        SCOPED_TRACE(testing::Message() << units << " units of " << unit << ", " << ranks);
        const Partition partition = Partition::divide(dimension, Shares::equal(ranks));
        ASSERT_NO_FATAL_FAILURE(expect_division(partition, cuts));
        for (int rank = 0; rank < ranks; ++rank) {
          ASSERT_EQ(partition.size(rank), unit * (units / ranks + (rank < units % ranks ? 1 : 0)));
          ASSERT_LE(partition[rank].size(), 1u);
        }
        ASSERT_EQ(partition.is_even(), units % ranks == 0);
        ASSERT_FALSE(partition.is_replicated());
      }
    }
  }
}

TEST(Partition, GivesTheRestToTheFirstRanks) {
  const Dimension inputs("inputs", 90 * 64, 64);
  EXPECT_THAT(sizes(Partition::divide(inputs, Shares::equal(4))),
              ElementsAre(23 * 64, 23 * 64, 22 * 64, 22 * 64));
  const Dimension few("rows", 3, 1);
  EXPECT_THAT(texts(Partition::divide(few, Shares::equal(5))),
              ElementsAre("[0, 1)", "[1, 2)", "[2, 3)", "none", "none"));
}

TEST(Partition, CutsFewSegmentsForEveryRankCountAtOnce) {
  // Where all rank counts divide the units, the cuts are the distinct fractions i/N.
  EXPECT_EQ(Dimension("d", 720720, 1).canonical_cuts().size(), 81u);
  EXPECT_EQ(Dimension("d", 720720 * 32, 32).canonical_cuts().size(), 81u);
  // Elsewhere N ranks make at most N - 1 cuts of their own.
  size_t most = 0;
  for (int64_t units = 1; units < 2000; ++units)
    most = std::max(most, Dimension("d", units, 1).canonical_cuts().size());
  EXPECT_LE(most, 122u);
  const auto cuts = Dimension("d", 48, 16).canonical_cuts();
  EXPECT_THAT(cuts, ElementsAre(0, 16, 32, 48));
}

TEST(Partition, WeighsSharesOnTheNearestCanonicalCuts) {
  for (const auto& weights : std::vector<std::vector<int64_t>>{
           {2, 1}, {1, 5, 2}, {100, 1, 1, 1}, {1, 1000000}, {3, 2, 2, 1, 1, 1, 1, 9, 4}}) {
    const Shares shares = Shares::weighted(weights);
    for (const int64_t units : {1, 2, 7, 22, 90, 344, 1000}) {
      SCOPED_TRACE(testing::Message() << testing::PrintToString(weights) << " of " << units);
      const Dimension dimension("width", units * 32, 32);
      const auto cuts = dimension.canonical_cuts();
      const Partition partition = Partition::divide(dimension, shares);
      ASSERT_NO_FATAL_FAILURE(expect_division(partition, cuts));
      int64_t end = 0;
      for (int rank = 0; rank < shares.ranks(); ++rank) {
        for (const Range range : partition[rank]) ASSERT_EQ(range.begin, end);  // in rank order
        end += partition.size(rank);
        const double ideal = static_cast<double>(shares.before(rank + 1)) /
                             static_cast<double>(shares.total()) *
                             static_cast<double>(dimension.extent());
        for (const int64_t cut : cuts)
          ASSERT_LE(std::abs(static_cast<double>(end) - ideal),
                    std::abs(static_cast<double>(cut) - ideal) + 1e-6);
      }
    }
  }
}

TEST(Partition, WeighsSharesExactlyWhereTheyAreFractions) {
  const Dimension dimension("width", 720720, 1);
  const auto divided = [&](std::vector<int64_t> weights) {
    return sizes(Partition::divide(dimension, Shares::weighted(std::move(weights))));
  };
  EXPECT_THAT(divided({2, 1}), ElementsAre(480480, 240240));
  EXPECT_THAT(divided({1, 5, 2}), ElementsAre(90090, 450450, 180180));
  EXPECT_THAT(divided({6, 6}), ElementsAre(360360, 360360));
  // The largest of both: nothing overflows.
  EXPECT_THAT(sizes(Partition::divide(Dimension("d", int64_t{1} << 38, 1),
                                      Shares::weighted(std::vector<int64_t>(16, 1000000)))),
              testing::Each(int64_t{1} << 34));
  std::vector<int64_t> weights(16, 1000000);
  weights[0] = 999999;
  EXPECT_THAT(
      sizes(Partition::divide(Dimension("d", int64_t{1} << 38, 1), Shares::weighted(weights))),
      testing::Each(int64_t{1} << 34));
  EXPECT_THAT(texts(Partition::divide(Dimension("rows", 4, 1), Shares::weighted({100, 1, 1, 1}))),
              ElementsAre("[0, 4)", "none", "none", "none"));
}

TEST(Partition, KeepsPreferredUnitsWhileTheyLast) {
  // 32 heads of 128, four to each of 8 key-value heads.
  const Dimension heads = Dimension("heads", 4096, 128).with_preferred_unit(512);
  EXPECT_EQ(heads.unit(), 128);
  EXPECT_EQ(heads.unit_for(8), 512);
  EXPECT_EQ(heads.unit_for(9), 128);
  EXPECT_THAT(sizes(Partition::divide(heads, Shares::equal(3))), ElementsAre(1536, 1536, 1024));
  EXPECT_THAT(sizes(Partition::divide(heads, Shares::equal(16))), testing::Each(256));
  const auto cuts = heads.canonical_cuts();
  for (int ranks = 1; ranks <= kMaxRanks; ++ranks) {
    const Partition partition = Partition::divide(heads, Shares::equal(ranks));
    EXPECT_EQ(partition.unit(), ranks <= 8 ? 512 : 128);
    expect_division(partition, cuts);
  }
  // Weighted shares keep them too, although canonical cuts lie between.
  for (const auto& weights : std::vector<std::vector<int64_t>>{{2, 1}, {5, 3, 1}, {7, 1, 1, 1}}) {
    const Partition partition = Partition::divide(heads, Shares::weighted(weights));
    EXPECT_EQ(partition.unit(), 512);
    expect_division(partition, cuts);
  }
  for (const int64_t bad : {0, 192, 64, 3 * 128})
    expect_error(ErrorKind::kInternal, "heads: preferred unit " + std::to_string(bad),
                 [&] { Dimension("heads", 4096, 128).with_preferred_unit(bad); });
}

TEST(Partition, DividesEachSegmentForItself) {
  const Dimension qkv("qkv", 12, 1, Segments::positions({6, 8}));
  EXPECT_THAT(texts(Partition::divide(qkv, Shares::equal(2))),
              ElementsAre("[0, 3) + [6, 7) + [8, 10)", "[3, 6) + [7, 8) + [10, 12)"));
  EXPECT_THAT(
      texts(Partition::divide(qkv, Shares::equal(3))),
      ElementsAre("[0, 2) + [6, 7) + [8, 10)", "[2, 4) + [7, 8) + [10, 11)", "[4, 6) + [11, 12)"));
  for (int ranks = 1; ranks <= kMaxRanks; ++ranks)
    expect_division(Partition::divide(qkv, Shares::equal(ranks)), qkv.canonical_cuts());
  expect_division(Partition::divide(qkv, Shares::weighted({1, 5, 2})), qkv.canonical_cuts());
  // Adjacent ranges are one.
  EXPECT_EQ(Partition::divide(qkv, Shares::equal(1)).to_string(0), "[0, 12)");
}

TEST(Partition, CoversQueryHeadsWithKeyValueHeads) {
  const Dimension query("query heads", 8, 1);
  const auto kv = [&](int ranks) {
    return Partition::covering(Partition::divide(query, Shares::equal(ranks)), 2);
  };
  EXPECT_THAT(texts(kv(4)), ElementsAre("[0, 1)", "[1, 2)", "[2, 3)", "[3, 4)"));
  EXPECT_FALSE(kv(4).is_replicated());
  EXPECT_THAT(texts(kv(3)), ElementsAre("[0, 2)", "[1, 3)", "[3, 4)"));
  EXPECT_TRUE(kv(3).is_replicated());
  EXPECT_THAT(texts(kv(5)), ElementsAre("[0, 1)", "[1, 2)", "[2, 3)", "[3, 4)", "[3, 4)"));
  EXPECT_TRUE(kv(5).is_replicated());
  EXPECT_THAT(sizes(kv(9)), ElementsAre(1, 1, 1, 1, 1, 1, 1, 1, 0));
  EXPECT_EQ(kv(5).extent(), 4);
  // With whole groups of query heads nothing is held twice.
  const Partition grouped =
      Partition::covering(Partition::divide(query.with_preferred_unit(2), Shares::equal(3)), 2);
  EXPECT_THAT(texts(grouped), ElementsAre("[0, 2)", "[2, 3)", "[3, 4)"));
  EXPECT_FALSE(grouped.is_replicated());
}

TEST(Partition, CoversRangesThatShareACoarseElementOnce) {
  const Dimension fine("fine", 8, 1, Segments::count(4));
  const Partition coarse = Partition::covering(Partition::divide(fine, Shares::equal(2)), 4);
  EXPECT_THAT(texts(coarse), ElementsAre("[0, 2)", "[0, 2)"));
  EXPECT_THAT(sizes(coarse), ElementsAre(2, 2));
}

TEST(Partition, ScalesHeadsToRows) {
  const Partition heads = Partition::divide(Dimension("heads", 5, 1), Shares::equal(2));
  const Partition rows = heads.scaled(64);
  EXPECT_THAT(texts(rows), ElementsAre("[0, 192)", "[192, 320)"));
  EXPECT_EQ(rows.extent(), 320);
  EXPECT_EQ(rows.unit(), 64);
  EXPECT_TRUE(Partition::replicated(4, 3).scaled(2).is_replicated());
}

TEST(Partition, ReplicatesOnRequest) {
  const Partition all = Partition::replicated(7, 3);
  EXPECT_THAT(texts(all), ElementsAre("[0, 7)", "[0, 7)", "[0, 7)"));
  EXPECT_TRUE(all.is_replicated());
  EXPECT_TRUE(all.is_even());
  EXPECT_FALSE(Partition::replicated(7, 1).is_replicated());
}

TEST(Dimension, NamesItselfInErrors) {
  expect_error(ErrorKind::kUsage, "down_proj, inputs: 100 elements are not whole units of 64",
               [] { Dimension("down_proj, inputs", 100, 64); });
  expect_error(ErrorKind::kUsage, "d: 64 elements are not whole units of 0",
               [] { Dimension("d", 64, 0, Segments::positions({32})); });
  expect_error(ErrorKind::kUsage, "d: 0 elements", [] { Dimension("d", 0, 1); });
}

}  // namespace
}  // namespace strake
