#include "quant/packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "quant/format_list.h"

namespace strake {
namespace {

// The definition: bit b of a row's stream is bit b mod 32 of word b div 32.
std::vector<uint32_t> pack_bit_by_bit(const std::vector<uint8_t>& codes, int bits) {
  std::vector<uint32_t> words(codes.size() * static_cast<size_t>(bits) / 32);
  for (size_t j = 0; j < codes.size(); ++j)
    for (int k = 0; k < bits; ++k) {
      const size_t bit = j * static_cast<size_t>(bits) + static_cast<size_t>(k);
      words[bit / 32] |= ((codes[j] >> k) & 1u) << (bit % 32);
    }
  return words;
}

TEST(Packing, FollowsTheStreamInEveryFormat) {
  for (const Format format : Format::all())
    visit_format(format, [&](auto spec) {
      using Spec = decltype(spec);
      uint32_t state = 1;
      for (int round = 0; round < 20; ++round) {
        std::vector<uint8_t> codes(Spec::kGroupSize);
        for (uint8_t& code : codes) {
          state = state * 1664525u + 1013904223u;
          code = static_cast<uint8_t>((state >> 20) & ((1u << Spec::kBits) - 1));
        }
        std::vector<uint32_t> words(Spec::kWordsPerGroup, 0xffffffffu);
        pack_group<Spec>(codes.data(), words.data());
        EXPECT_EQ(words, pack_bit_by_bit(codes, Spec::kBits)) << format.to_string();
        std::vector<uint8_t> unpacked(Spec::kGroupSize, 0xff);
        unpack_group<Spec>(words.data(), unpacked.data());
        EXPECT_EQ(unpacked, codes) << format.to_string();
      }
    });
}

TEST(Packing, KeepsCodesApart) {
  using Spec = FormatSpec<Mode::kAffine, UInt<5>, FloatScale, 32>;
  for (size_t j = 0; j < 32; ++j) {
    std::array<uint8_t, 32> codes{};
    codes[j] = 31;
    std::array<uint32_t, 5> words;
    pack_group<Spec>(codes.data(), words.data());
    std::array<uint8_t, 32> unpacked;
    unpack_group<Spec>(words.data(), unpacked.data());
    EXPECT_EQ(unpacked, codes);
  }
}

constexpr bool round_trips_in_constant_expressions() {
  std::array<uint8_t, 16> codes{};
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(63 - i);
  std::array<uint32_t, 3> words{};
  pack_block<6>(codes.data(), words.data());
  std::array<uint8_t, 16> unpacked{};
  unpack_block<6>(words.data(), unpacked.data());
  return unpacked == codes;
}
static_assert(round_trips_in_constant_expressions());

}  // namespace
}  // namespace strake
