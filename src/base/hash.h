// Fingerprints of bytes: equal inputs give equal numbers, on every machine and rank.
#pragma once

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

}  // namespace strake
