// Random numbers that a seed alone decides, the same as MLX's: Threefry-2x32 keys that split.
#pragma once

#include <array>
#include <cstdint>

namespace strake {

using RandomKey = std::array<uint32_t, 2>;

// Threefry-2x32 with 20 rounds (Salmon et al., 2011): the counter's block under the key.
RandomKey threefry(RandomKey key, RandomKey counter);

// Uniform numbers in [0, 1) of 32 bits each, rounded to float32. Each draw splits the key: one
// half becomes the state, the other is used up.
class Random {
 public:
  explicit Random(uint64_t seed);
  float uniform();

 private:
  RandomKey key_;
};

}  // namespace strake
