// How products with few rows are divided over blocks.
#include "ops/cuda/few_rows_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace strake::cuda {
namespace {

constexpr PackedFormat kMxfp8 = {Coding::kE4M3, Scaling::kE8M0, 32};
constexpr FewRowsSize kSize = {1, 16, kFewRowsRings, 132, 227 * 1024};

FewRowsParameters product(int outputs, int inputs, int leaves, int rows) {
  FewRowsParameters p{};
  for (int leaf = 0; leaf < leaves; ++leaf) p.leaves.push(inputs / leaves);
  p.perfect = 1;
  p.x_rows = rows;
  p.x_halves = 1;
  p.row_tiles = (outputs + kTileRows - 1) / kTileRows;
  return p;
}

TEST(FewRowsPlan, BlocksMakeAllItems) {
  for (const int outputs : {1, 16, 4096, 14336, 128256})
    for (const int inputs : {512, 4096, 28672})
      for (const int leaves : {1, 2, 8, 16})
        for (const int rows : {1, 8}) {
          FewRowsParameters p = product(outputs, inputs, leaves, rows);
          const FewRowsGrid grid = plan_few_rows(p, kMxfp8, kSize);
          if (rows > 1 && inputs / leaves > 4096) continue;  // may be too many for shared memory
          ASSERT_GT(grid.blocks, 0);
          EXPECT_LE(grid.shared_bytes, kSize.shared_bytes);
          EXPECT_EQ(grid.blocks, p.blocks * p.slices);
          EXPECT_EQ(p.blocks * p.block_items + p.blocks_with_more, p.row_tiles);
          EXPECT_LT(p.blocks_with_more, p.blocks);
          const int most_items = p.block_items + (p.blocks_with_more > 0 ? 1 : 0);
          if (p.window == 0)
            EXPECT_EQ(p.units, most_items * leaves);
          else
            EXPECT_EQ(p.window, 1 << p.window_bits);
          for (int block = 0; block < grid.blocks; ++block)
            ASSERT_EQ(p.by_slices.quotient(block), block / p.slices);
          for (const int more : {0, 1})
            for (int unit = 0; unit < 16 * kMaxLeaves; ++unit)
              ASSERT_EQ(p.by_leaves[more].quotient(unit), unit / (p.least_leaves + more));
          for (int column = 0; column < p.units * p.columns; ++column)
            ASSERT_EQ(p.by_columns.quotient(column), column / p.columns);
        }
}

TEST(FewRowsPlan, BlocksHaveAllSumsWhereTheyAreFew) {
  for (const int outputs : {4096, 14336, 28672}) {
    FewRowsParameters p = product(outputs, 4096, 8, 1);
    ASSERT_EQ(plan_few_rows(p, kMxfp8, kSize).blocks, 132);
    EXPECT_EQ(p.window, 0);
  }
  // Else a window of them.
  FewRowsParameters p = product(14336, 4096, 8, 8);
  ASSERT_EQ(plan_few_rows(p, kMxfp8, kSize).blocks, 132);
  EXPECT_EQ(p.window, 4);
  EXPECT_EQ(p.units, 32);
}

TEST(FewRowsPlan, SlicesHaveAWindowOfItems) {
  for (const Coding coding : {Coding::kUInt2, Coding::kUInt4, Coding::kE4M3})
    for (const int inputs : {8192, 14336, 28672})
      for (const int leaves : {3, 7, 8, 16}) {
        FewRowsParameters p = product(28672, inputs / leaves / 64 * 64 * leaves, leaves, 16);
        p.perfect = (leaves & (leaves - 1)) == 0 ? 1 : 0;
        const PackedFormat format = {
            coding, coding == Coding::kE4M3 ? Scaling::kE8M0 : Scaling::kAffine16, 32};
        FewRowsSize size = kSize;
        size.octets = 2;
        const FewRowsGrid grid = plan_few_rows(p, format, size);
        if (grid.blocks == 0) continue;
        EXPECT_LE(grid.shared_bytes, size.shared_bytes);
        EXPECT_GT(p.slices, 1);
        // A place for each leaf of a slice, and for all warps at least.
        const int window = p.window, most_leaves = (leaves + p.slices - 1) / p.slices;
        EXPECT_LE(window, kMostWindow);
        EXPECT_EQ(p.units, window * most_leaves);
        EXPECT_GE(p.units, std::min(size.warps, kMostWindow * most_leaves));
        EXPECT_GE(p.ring.stages, 2);
        EXPECT_LE(p.ring.stages, kMostStages);
        EXPECT_LE(p.x_at + 16 * p.x_row_bytes, p.group_sums_at);
        EXPECT_LE(p.counts_at + kMostWindow * 4, grid.shared_bytes);
      }
}

TEST(FewRowsPlan, ChunksAreLargeWhereTheyFit) {
  FewRowsParameters p = product(4096, 4096, 8, 1);
  ASSERT_GT(plan_few_rows(p, kMxfp8, kSize).blocks, 0);
  EXPECT_EQ(p.ring.stages, 2);
  EXPECT_EQ(p.chunk_tiles, 4);
  // Activations leave less room than two large stages take.
  FewRowsSize small = kSize;
  small.shared_bytes = 100 * 1024;
  ASSERT_GT(plan_few_rows(p, kMxfp8, small).blocks, 0);
  EXPECT_EQ(p.ring.stages, 2);
  EXPECT_EQ(p.chunk_tiles, 2);
}

TEST(FewRowsPlan, ChunksHaveWholePairsOfTiles) {
  for (const Coding coding : {Coding::kUInt3, Coding::kUInt5, Coding::kUInt6})
    for (const int shared_kb : {100, 227}) {
      FewRowsParameters p = product(4096, 4096, 8, 1);
      FewRowsSize size = kSize;
      size.shared_bytes = shared_kb * 1024;
      ASSERT_GT(plan_few_rows(p, {coding, Scaling::kAffine16, 64}, size).blocks, 0);
      EXPECT_EQ(p.chunk_tiles % 2, 0);
    }
}

// Of one token's experts, sums are of one column each, so that all have a place.
TEST(FewRowsPlan, ExpertsRowsApartHaveAsManyColumnsAsTokens) {
  FewRowsParameters p = product(4096, 6144, 16, 1);
  p.experts.rows = 8;
  ASSERT_EQ(plan_few_rows(p, kMxfp8, kSize).blocks, 132);
  EXPECT_EQ(p.visit_columns, 1);
  EXPECT_EQ(p.columns, 1);
  EXPECT_EQ(p.window, 0);
  p = product(4096, 6144, 16, 8);
  p.experts.rows = 64;
  ASSERT_EQ(plan_few_rows(p, kMxfp8, kSize).blocks, 132);
  EXPECT_EQ(p.visit_columns, 8);
}

// Heads have a row and a matrix each: a block brings the rows of its own.
TEST(FewRowsPlan, BlocksBringTheRowsOfTheirVisits) {
  FewRowsParameters p = product(256, 512, 1, 64);
  p.experts.rows = 64;
  p.experts.most_rows = 1;
  ASSERT_EQ(plan_few_rows(p, kMxfp8, kSize).blocks, 132);
  EXPECT_EQ(p.visit_columns, 1);
  EXPECT_EQ(p.x_room, 2);
  // All, where they are no more.
  p = product(4096, 6144, 16, 1);
  p.experts.rows = 8;
  ASSERT_EQ(plan_few_rows(p, kMxfp8, kSize).blocks, 132);
  EXPECT_EQ(p.x_room, 1);
}

// As many visits of a mixture at a time as a stage has room for.
TEST(FewRowsPlan, StagesHaveWholeVisits) {
  const auto visits_at_once = [](int inputs, int leaves, int rows, int tokens) {
    FewRowsParameters p = product(6144, inputs, leaves, rows);
    p.experts.rows = rows;
    p.experts.tokens = tokens;
    p.experts.groups = 1;
    const FewRowsGrid grid = plan_few_rows(p, kMxfp8, kSize);
    EXPECT_GT(grid.blocks, 0);
    EXPECT_LE(grid.shared_bytes, kSize.shared_bytes);
    EXPECT_GE(p.ring.stages, 2);
    EXPECT_LE(p.mixed_at + rows * 8 * kMixedColumnBytes, p.counts_at);
    EXPECT_LE(p.counts_at + (kMostWindow + 1) * 4, grid.shared_bytes);
    return p.visits_at_once;
  };
  EXPECT_EQ(visits_at_once(2048, 16, 8, 1), 2);   // leaves of two tiles, stages of four
  EXPECT_EQ(visits_at_once(2048, 16, 64, 8), 1);  // stages of two
  EXPECT_EQ(visits_at_once(8192, 16, 8, 1), 1);   // leaves of eight tiles
}

TEST(FewRowsPlan, DivisorsAreMoreByOneAtMost) {
  for (const int by : {1, 2, 3, 7, 96, 896, 8016, 65535, 1 << 20})
    for (int64_t dividend = 0; dividend < std::numeric_limits<int>::max(); dividend += 99991) {
      const auto n = static_cast<int>(dividend);
      const int quotient = Divisor(by).quotient(n);
      if (dividend * by <= int64_t{1} << 31)
        ASSERT_EQ(quotient, n / by) << n << " / " << by;
      else
        ASSERT_TRUE(quotient == n / by || quotient == n / by + 1) << n << " / " << by;
    }
}

}  // namespace
}  // namespace strake::cuda
