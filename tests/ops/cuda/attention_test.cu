// Attention against float64, and its bits against other batches and cuts.
#include <gtest/gtest.h>

#include <algorithm>

#include "ops/cuda/attention_case.h"

namespace strake::cuda {
namespace {

using Case = AttentionCase;

void expect_right(const Case& c) {
  Attention attention(c);
  const std::vector<float> found = attention.run();
  EXPECT_LE(relative_error(found, attention.expected()), 5e-3)
      << c.width << " " << c.value_width << " tokens " << c.tokens << " from "
      << c.first_positions[0] << " window " << c.window;
  EXPECT_EQ(found, attention.run());
  attention.lay_out_for(9000);
  EXPECT_EQ(found, attention.run());
}

constexpr DType kHalves[] = {DType::kBF16, DType::kF16};
constexpr int64_t kWidths[][2] = {{64, 64},   {96, 96},   {128, 128},
                                  {192, 128}, {192, 192}, {256, 256}};

TEST(CudaAttention, FewRowsOfEveryWidth) {
  for (const DType dtype : kHalves)
    for (const auto& [width, value_width] : kWidths)
      expect_right({.dtype = dtype,
                    .width = width,
                    .value_width = value_width,
                    .first_positions = {0, 700, 63}});
}

TEST(CudaAttention, FewRowsThatSeeDifferentPositions) {
  expect_right({.tokens = 7, .first_positions = {510, 0, 250}});
  expect_right({.heads = 20, .cached_heads = 1, .tokens = 16, .first_positions = {250}});
  expect_right({.tokens = 3, .first_positions = {509}, .extras = Case::Extras::kAll});
  expect_right({.heads = 7,
                .cached_heads = 3,
                .tokens = 3,
                .first_positions = {300},
                .first_query = {0, 1, 5, 7}});
}

TEST(CudaAttention, FewRowsToManyPositions) {
  expect_right({.first_positions = {2047, 2048, 5000}, .extras = Case::Extras::kAll});
  expect_right({.heads = 20, .cached_heads = 1, .tokens = 16, .first_positions = {2040}});
}

// Every part of the last chunk, and more query rows than a block has.
TEST(CudaAttention, FewRowsToTheLastOfAQuarter) {
  for (const int first : {1, 14, 15, 16, 47, 48, 62, 64, 127, 128, 191, 192, 255, 256, 1023, 1790})
    for (const int64_t tokens : {1, 5})
      expect_right({.heads = 8, .cached_heads = 1, .tokens = tokens, .first_positions = {first}});
}

TEST(CudaAttention, ManyRowsOfEveryWidth) {
  for (const DType dtype : kHalves)
    for (const auto& [width, value_width] : kWidths)
      expect_right({.dtype = dtype,
                    .heads = 4,
                    .width = width,
                    .value_width = value_width,
                    .tokens = 75,
                    .first_positions = {0, 133}});
}

TEST(CudaAttention, ManyRowsWithAllElse) {
  expect_right({.heads = 6, .tokens = 130, .first_positions = {40}, .extras = Case::Extras::kAll});
  expect_right({.heads = 7,
                .cached_heads = 3,
                .tokens = 90,
                .first_positions = {3},
                .window = 50,
                .extras = Case::Extras::kAll,
                .first_query = {0, 1, 5, 7}});
}

// A token beyond tiles of rows and before their end, after few and many positions.
TEST(CudaAttention, ManyRowsAroundTiles) {
  for (const int64_t group : {1, 4, 8})
    for (const int64_t tokens : {17, 33, 65, 127, 129})
      for (const int64_t width : {64, 128})
        expect_right({.dtype = tokens % 4 == 1 ? DType::kBF16 : DType::kF16,
                      .heads = 2 * group,
                      .cached_heads = 2,
                      .width = width,
                      .value_width = width,
                      .tokens = tokens,
                      .first_positions = {0, 1, 777}});
  for (const int first : {0, 777})
    expect_right({.heads = 4, .cached_heads = 1, .tokens = 2048, .first_positions = {first}});
  expect_right({.tokens = 18, .first_positions = {126, 127, 128, 6000}});
}

// More tiles of rows than a GPU has multiprocessors, of sequences of different lengths.
TEST(CudaAttention, ManyRowsOfManyHeads) {
  expect_right({.heads = 64,
                .cached_heads = 16,
                .width = 64,
                .value_width = 64,
                .tokens = 131,
                .first_positions = {0, 500, 7, 130}});
}

TEST(CudaAttention, ManyRowsWithSinksAndWindows) {
  for (const int64_t window : {0, 1, 50, 128, 300})
    for (const int64_t width : {64, 128})
      expect_right({.heads = 7,
                    .cached_heads = 3,
                    .width = width,
                    .value_width = width,
                    .tokens = 190,
                    .first_positions = {3, 260},
                    .window = window,
                    .extras = Case::Extras::kSinks,
                    .first_query = {0, 1, 5, 7}});
}

TEST(CudaAttention, WindowsInRings) {
  for (const int first : {100, 511, 1030, 2047})
    for (const int64_t tokens : {1, 5, 70})
      expect_right({.heads = 4,
                    .width = 64,
                    .value_width = 64,
                    .tokens = tokens,
                    .first_positions = {first},
                    .slots = 512,
                    .window = 130});
}

TEST(CudaAttention, OtherWidthsAndDtypes) {
  for (const int64_t tokens : {1, 3, 20}) {
    expect_right({.dtype = DType::kF32, .tokens = tokens, .first_positions = {270, 10}});
    expect_right({.width = 24,
                  .value_width = 10,
                  .tokens = tokens,
                  .first_positions = {270},
                  .extras = Case::Extras::kAll});
    expect_right({.width = 40,
                  .value_width = 32,
                  .tokens = tokens,
                  .first_positions = {600},
                  .slots = 512,
                  .window = 129});
    expect_right({.heads = 3,
                  .cached_heads = 1,
                  .width = 48,
                  .value_width = 32,
                  .tokens = tokens,
                  .first_positions = {290},
                  .selected = 60,
                  .values = Case::Values::kKeys});
  }
}

TEST(CudaAttention, LatentVectors) {
  const Case latent{.heads = 5,
                    .cached_heads = 1,
                    .width = 576,
                    .value_width = 512,
                    .values = Case::Values::kKeys};
  for (const DType dtype : kHalves)
    for (const int64_t tokens : {1, 17}) {
      Case c = latent;
      c.dtype = dtype;
      c.tokens = tokens;
      c.first_positions = {0, 190, 777};
      expect_right(c);
      c.selected = 70;
      c.extras = Case::Extras::kAll;
      expect_right(c);
    }
  Case wide = latent;
  wide.heads = 128;
  wide.first_positions = {130};
  expect_right(wide);
  Case late = latent;
  late.first_positions = {9001};  // chunks have grown
  expect_right(late);
  late.heads = 70;
  late.tokens = 2;
  late.selected = 5000;
  late.extras = Case::Extras::kAll;
  expect_right(late);
  Case many = latent;  // blocks enough for all of the values' columns
  many.tokens = 150;
  many.first_positions = {200};
  expect_right(many);
}

// However many heads a rank has, and blocks share a chunk.
TEST(CudaAttention, SameBitsOfLatentHeads) {
  for (const DType dtype : kHalves)
    for (const int first : {63, 3000, 20000}) {
      Attention attention({.dtype = dtype,
                           .heads = 128,
                           .cached_heads = 1,
                           .width = 576,
                           .value_width = 512,
                           .first_positions = {first},
                           .values = Case::Values::kKeys});
      const std::vector<float> all = attention.run();
      for (const int64_t heads : {1, 16, 64}) {
        const std::vector<float> some = attention.run({0}, heads);
        EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << first << " " << heads;
      }
    }
}

// Nor whether there are blocks enough to have all columns.
TEST(CudaAttention, SameBitsOfLatentsInEveryBatch) {
  for (const int64_t heads : {5, 64, 128}) {
    const Case c{.heads = heads,
                 .cached_heads = 1,
                 .width = 576,
                 .value_width = 512,
                 .first_positions = {5000, 4999, 4095},
                 .values = Case::Values::kKeys};
    Attention attention(c);
    const std::vector<float> all = attention.run();
    for (const size_t sequence : {0, 1, 2}) {
      const std::vector<float> alone = attention.run(std::vector<size_t>{sequence});
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(),
                             all.begin() + static_cast<int64_t>(sequence * alone.size())))
          << heads << " " << sequence;
    }
  }
}

// A row has the same bits whatever runs with it, as long as it is one of few or of many.
TEST(CudaAttention, SameBitsInEveryBatch) {
  for (const int64_t width : {64, 128})
    for (const int64_t tokens : {2, 40}) {
      const Case c{.width = width,
                   .value_width = width,
                   .tokens = tokens,
                   .first_positions = {20, 300, 255}};
      Attention attention(c);
      const std::vector<float> all = attention.run({0, 1, 2}), swapped = attention.run({2, 0});
      const int64_t each = tokens * c.heads * c.value_width;
      EXPECT_TRUE(std::equal(all.begin() + 2 * each, all.end(), swapped.begin()));
      EXPECT_TRUE(std::equal(all.begin(), all.begin() + each, swapped.begin() + each));
    }
}

// However many of a token's heads a rank has.
TEST(CudaAttention, SameBitsOfSomeHeads) {
  const Case c{.heads = 16, .cached_heads = 2, .tokens = 70, .first_positions = {90}};
  Attention attention(c);
  const std::vector<float> all = attention.run();
  for (const int64_t heads : {1, 3, 4, 8}) {
    const std::vector<float> some = attention.run({0}, heads);
    for (int64_t token = 0; token < c.tokens; ++token) {
      const auto found = some.begin() + token * heads * c.value_width;
      EXPECT_TRUE(std::equal(found, found + heads * c.value_width,
                             all.begin() + token * c.heads * c.value_width))
          << heads << " " << token;
    }
  }
}

// However a prompt is cut, as long as pieces are many rows.
TEST(CudaAttention, SameBitsInEveryPiece) {
  for (const int64_t width : {64, 128})
    for (const int64_t window : {0, 100}) {
      Attention attention({.width = width,
                           .value_width = width,
                           .tokens = 400,
                           .first_positions = {50},
                           .window = window});
      const std::vector<float> whole = attention.run();
      EXPECT_EQ(whole, attention.run({{0, 17}, {17, 83}, {100, 128}, {228, 172}}));
      EXPECT_EQ(whole, attention.run({{0, 78}, {78, 50}, {128, 255}, {383, 17}}));
    }
}

}  // namespace
}  // namespace strake::cuda
