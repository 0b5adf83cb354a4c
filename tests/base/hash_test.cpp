#include "base/hash.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace strake {
namespace {

uint64_t hash_text(std::string_view text, uint64_t seed = kHashSeed) {
  return hash_values(std::span<const char>(text), seed);
}

// The published test vectors of FNV-1a.
TEST(Hash, IsFnv1a) {
  EXPECT_EQ(hash_text(""), 0xcbf29ce484222325u);
  EXPECT_EQ(hash_text("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(hash_text("foobar"), 0x85944171f73967e8u);
}

TEST(Hash, ContinuesFromASeed) {
  EXPECT_EQ(hash_text("bar", hash_text("foo")), hash_text("foobar"));
  const std::vector<uint16_t> values = {0x6f66, 0x626f, 0x7261};  // "foobar", little-endian
  EXPECT_EQ(hash_values(std::span<const uint16_t>(values)), hash_text("foobar"));
}

// The published first outputs of SplitMix64 from the seed 1234567 are its steps' mixed states.
TEST(Hash, MixesAsSplitMix64) {
  constexpr uint64_t kStep = 0x9e3779b97f4a7c15u;
  EXPECT_EQ(mix_bits(1234567 + kStep), 6457827717110365317u);
  EXPECT_EQ(mix_bits(1234567 + 2 * kStep), 3203168211198807973u);
}

TEST(Hash, OfARowIsASumInAnyOrder) {
  const std::vector<float> row{1.5f, -2.0f, 0.0f, 7.0f};
  uint64_t sum = 0;
  for (size_t i = row.size(); i-- > 0;) sum += hash_element(i, std::bit_cast<uint32_t>(row[i]));
  EXPECT_EQ(hash_row(row), chain_hash(kHashSeed, sum));
}

TEST(Hash, OfRowsDependsOnEveryBitAndOnTheOrder) {
  const std::vector<float> row{1.5f, -2.0f, 0.0f}, swapped{-2.0f, 1.5f, 0.0f},
      negative{1.5f, -2.0f, -0.0f};
  EXPECT_NE(hash_row(row), hash_row(swapped));
  EXPECT_NE(hash_row(row), hash_row(negative));
  EXPECT_NE(hash_row(row), hash_row(std::span(row).first(2)));
  EXPECT_NE(hash_row(row, hash_row(swapped)), hash_row(swapped, hash_row(row)));
}

}  // namespace
}  // namespace strake
