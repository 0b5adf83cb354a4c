// Sums in a fixed order that compilers can vectorize.
#pragma once

#include <cstdint>
#include <cstring>

namespace strake::cpu {

// Sixteen float32 side by side: one AVX-512 register, or four of SSE. The number of lanes fixes
// the order of every sum, so it is the same on all machines.
using Lanes = float __attribute__((vector_size(64)));
inline constexpr int64_t kLanes = 16;

inline void load(const float* from, Lanes& lanes) { std::memcpy(&lanes, from, sizeof lanes); }

// Lanes are added as a binary tree: i with i + 8, then 4, 2, 1.
inline float sum(const Lanes& lanes) {
  float s[kLanes];
  std::memcpy(s, &lanes, sizeof s);
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t i = 0; i < width; ++i) s[i] += s[i + width];
  return s[0];
}

// Sum of a[i] * b[i]: element i goes to lane i mod 32 (two rows of lanes), in ascending order.
inline float dot(const float* a, const float* b, int64_t count) {
  Lanes even{};
  Lanes odd{};
  Lanes x, y;
  int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    load(a + i, x);
    load(b + i, y);
    even += x * y;
    load(a + i + kLanes, x);
    load(b + i + kLanes, y);
    odd += x * y;
  }
  if (i + kLanes <= count) {
    load(a + i, x);
    load(b + i, y);
    even += x * y;
    i += kLanes;
  }
  for (int64_t lane = 0; i < count; ++i, ++lane) odd[lane] += a[i] * b[i];
  return sum(even + odd);
}

}  // namespace strake::cpu
