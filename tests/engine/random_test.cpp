#include "engine/random.h"

#include <gtest/gtest.h>

#include <bit>
#include <fstream>
#include <sstream>
#include <string>

namespace strake {
namespace {

// The known answers that the paper's authors publish with Random123.
TEST(Random, ThreefryGivesThePublishedAnswers) {
  EXPECT_EQ(threefry({0, 0}, {0, 0}), (RandomKey{0x6b200159, 0x99ba4efe}));
  EXPECT_EQ(threefry({~0u, ~0u}, {~0u, ~0u}), (RandomKey{0x1cb996fc, 0xbb002be7}));
  EXPECT_EQ(threefry({0x13198a2e, 0x03707344}, {0x243f6a88, 0x85a308d3}),
            (RandomKey{0xc4923a9c, 0x483df7a0}));
}

TEST(Random, UniformNumbersEqualMlx) {
  std::ifstream file(STRAKE_TEST_DATA "/engine/sampler_random.txt");
  int seeds = 0;
  for (std::string line; std::getline(file, line); ++seeds) {
    std::istringstream words(line);
    uint64_t seed = 0;
    words >> seed >> std::hex;
    Random random(seed);
    int draws = 0;
    for (uint32_t bits = 0; words >> bits; ++draws)
      EXPECT_EQ(std::bit_cast<uint32_t>(random.uniform()), bits) << seed << " draw " << draws;
    EXPECT_EQ(draws, 8);
  }
  EXPECT_EQ(seeds, 8);
}

TEST(Random, ADrawThatWouldRoundToOneStaysBelow) {
  EXPECT_EQ(Random(102765825).uniform(), 1.0f - 0x1p-24f);
}

}  // namespace
}  // namespace strake
