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

}  // namespace
}  // namespace strake
