// Fingerprints of bytes: equal inputs give equal numbers, on every machine and rank.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace strake {

// FNV-1a, 64 bits (Fowler, Noll and Vo). `seed` continues an earlier hash.
inline constexpr uint64_t kHashSeed = 0xcbf29ce484222325u;

constexpr uint64_t hash_bytes(std::span<const std::byte> bytes, uint64_t seed = kHashSeed) {
  for (const std::byte byte : bytes) seed = (seed ^ static_cast<uint64_t>(byte)) * 0x100000001b3u;
  return seed;
}

template <class T>
uint64_t hash_values(std::span<const T> values, uint64_t seed = kHashSeed) {
  return hash_bytes(std::as_bytes(values), seed);
}

// The last step of SplitMix64 (Steele, Lea and Flood, 2014): every bit depends on every other.
constexpr uint64_t mix_bits(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

// Rows of numbers, one after the other: the elements of each are summed modulo 2^64 in any order,
// so that a device may share them out. An element counts with its place.
constexpr uint64_t hash_element(uint64_t index, uint32_t bits) {
  return mix_bits((index << 32 | bits) + 0x9e3779b97f4a7c15u);
}
constexpr uint64_t chain_hash(uint64_t before, uint64_t row) { return mix_bits(before ^ row); }

inline uint64_t hash_row(std::span<const float> row, uint64_t before = kHashSeed) {
  uint64_t sum = 0;
  for (size_t i = 0; i < row.size(); ++i) sum += hash_element(i, std::bit_cast<uint32_t>(row[i]));
  return chain_hash(before, sum);
}

}  // namespace strake
