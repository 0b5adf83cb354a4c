#include "engine/random.h"

#include <algorithm>
#include <bit>

namespace strake {

RandomKey threefry(RandomKey key, RandomKey counter) {
  constexpr int kRotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  const uint32_t schedule[3] = {key[0], key[1], 0x1bd11bdau ^ key[0] ^ key[1]};
  auto [left, right] = counter;
  left += schedule[0];
  right += schedule[1];
  for (uint32_t quad = 1; quad <= 5; ++quad) {
    for (const int rotation : kRotations[(quad - 1) % 2]) {
      left += right;
      right = std::rotl(right, rotation) ^ left;
    }
    left += schedule[quad % 3];
    right += schedule[(quad + 1) % 3] + quad;
  }
  return {left, right};
}

Random::Random(uint64_t seed)
    : key_{static_cast<uint32_t>(seed >> 32), static_cast<uint32_t>(seed)} {}

float Random::uniform() {
  // The four words 0..3 of a split: block i of two gives the words i and i + 2.
  const RandomKey first = threefry(key_, {0, 2});
  const RandomKey second = threefry(key_, {1, 3});
  key_ = {first[0], second[0]};
  const uint32_t word = threefry({first[1], second[1]}, {0, 0})[0];
  return std::min(static_cast<float>(word) * 0x1p-32f, 1.0f - 0x1p-24f);
}

}  // namespace strake
