// The layout of packed weights: every bit of every code and scale has one place. Needs no device.
#include "ops/cuda/weight_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace strake::cuda {
namespace {

constexpr Coding kCodings[] = {Coding::kUInt2, Coding::kUInt3, Coding::kUInt4,
                               Coding::kUInt5, Coding::kUInt6, Coding::kUInt8,
                               Coding::kE2M1,  Coding::kE4M3,  Coding::kDense};

// How often each bit of some bytes was named.
class Bits {
 public:
  explicit Bits(int64_t bytes) : counts_(static_cast<size_t>(8 * bytes)) {}
  void name(int64_t byte, int bit) { ++counts_.at(static_cast<size_t>(8 * byte + bit)); }
  // Each bit that was named, once; with `count` of them.
  bool once(int64_t count) const {
    return std::count(counts_.begin(), counts_.end(), 1) == count &&
           std::count(counts_.begin(), counts_.end(), 0) ==
               static_cast<int64_t>(counts_.size()) - count;
  }

 private:
  std::vector<int> counts_;
};

TEST(WeightLayout, LanesAndElementsOfATileAgree) {
  for (int row = 0; row < kTileRows; ++row)
    for (int k = 0; k < kTileInputs; ++k) {
      const LanePlace place = lane_place(row, k);
      EXPECT_EQ(row_of(place.lane, place.reg), row);
      EXPECT_EQ(input_of(place.lane, place.reg, place.half), k);
    }
}

TEST(WeightLayout, CodesFillATile) {
  for (const Coding coding : kCodings) {
    const PackedFormat format = {coding, Scaling::kNone, kTileInputs};
    Bits bits(format.tile_bytes());
    for (int lane = 0; lane < kLanes; ++lane)
      for (int reg = 0; reg < kLaneRegisters; ++reg)
        for (int half = 0; half < 2; ++half)
          for (int b = 0; b < code_bits(coding); ++b) {
            const BitPlace place = code_bit(coding, lane, reg, half, b);
            EXPECT_EQ(place.byte % 4, 0);
            bits.name(place.byte, place.bit);
          }
    EXPECT_TRUE(bits.once(8 * format.tile_bytes())) << static_cast<int>(coding);
  }
}

TEST(WeightLayout, ScalesFillABlock) {
  Bits powers(PackedFormat{Coding::kE2M1, Scaling::kE8M0, 32}.scale_block_bytes());
  for (int row = 0; row < kTileRows; ++row)
    for (int group = 0; group < 2; ++group)
      for (int b = 0; b < 8; ++b) powers.name(e8m0_byte(row, group), b);
  EXPECT_TRUE(powers.once(8 * 32));
  Bits numbers(PackedFormat{Coding::kE2M1, Scaling::kE4M3, 16}.scale_block_bytes());
  for (int row = 0; row < kTileRows; ++row)
    for (int group = 0; group < 4; ++group)
      for (int b = 0; b < 8; ++b) {
        const BitPlace place = e4m3_scale_bit(row, group, b);
        numbers.name(place.byte, place.bit);
      }
  EXPECT_TRUE(numbers.once(8 * 64));
  for (const Scaling scaling : {Scaling::kAffine16, Scaling::kAffine32})
    for (const int group : {32, 64, 128}) {
      const PackedFormat format = {Coding::kUInt4, scaling, group};
      const int bytes = scaling == Scaling::kAffine32 ? 4 : 2;
      Bits bits(format.scale_block_bytes());
      for (int row = 0; row < kTileRows; ++row)
        for (int at = 0; at < format.groups_per_block(); ++at)
          for (int part = 0; part < 2; ++part)
            for (int b = 0; b < 8 * bytes; ++b) bits.name(affine_byte(format, row, at, part), b);
      EXPECT_TRUE(bits.once(8 * format.scale_block_bytes())) << group;
    }
}

// Odd sizes: codes of a whole matrix have places of their own, and a (row tile, leaf) is one run.
TEST(WeightLayout, TilesOfAMatrixStandOneAfterTheOther) {
  for (const int group : {16, 32, 64, 128})
    for (const int rows : {1, 16, 37}) {
      PackedShape shape = {{Coding::kUInt4, Scaling::kNone, group}, rows, {}};
      for (const int groups : {1, 7, 2, 5}) shape.leaves.push(group * groups);
      std::vector<bool> taken(
          static_cast<size_t>(shape.code_bytes() / shape.format.tile_bytes() * 1024));
      for (int row = 0; row < rows; ++row)
        for (int input = 0; input < shape.leaves.inputs(); ++input) {
          const int64_t tile =
              shape.tile_offset(row / kTileRows, shape.tile_of(input)) / shape.format.tile_bytes();
          const auto at = static_cast<size_t>(tile * 1024 + row % kTileRows * kTileInputs +
                                              shape.element_of(input));
          ASSERT_LT(at, taken.size());
          EXPECT_FALSE(taken[at]);
          taken[at] = true;
        }
      for (int leaf = 0; leaf < shape.leaves.count; ++leaf) {
        EXPECT_EQ(shape.tile_of(shape.leaves.cuts[leaf]), shape.leaves.tiles[leaf]);
        EXPECT_EQ(shape.tile_of(shape.leaves.cuts[leaf + 1] - 1), shape.leaves.tiles[leaf + 1] - 1);
      }
      EXPECT_EQ(shape.scale_bytes(), 0);
      EXPECT_EQ(shape.tile_offset(shape.row_tiles(), 0), shape.code_bytes());
    }
}

}  // namespace
}  // namespace strake::cuda
