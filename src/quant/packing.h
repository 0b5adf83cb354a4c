// Codes in their least-significant-bit-first streams, and as one byte each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>

namespace strake {

// The shortest run of codes that begins and ends on word boundaries.
template <int Bits>
struct PackedBlock {
  static constexpr int kCodes = 32 / std::gcd(32, Bits);
  static constexpr int kWords = Bits / std::gcd(32, Bits);
};

namespace detail {

// Code Index of a block; its bits may end in the next word.
template <int Bits, int Index>
constexpr uint8_t unpack_code(const uint32_t* words) {
  constexpr int kWord = Index * Bits / 32;
  constexpr int kShift = Index * Bits % 32;
  uint32_t code = words[kWord] >> kShift;
  if constexpr (kShift + Bits > 32) code |= words[kWord + 1] << (32 - kShift);
  return static_cast<uint8_t>(code & ((1u << Bits) - 1));
}

template <int Bits, int Index>
constexpr void pack_code(uint32_t code, uint32_t* words) {
  constexpr int kWord = Index * Bits / 32;
  constexpr int kShift = Index * Bits % 32;
  words[kWord] |= code << kShift;
  if constexpr (kShift + Bits > 32) words[kWord + 1] |= code >> (32 - kShift);
}

}  // namespace detail

// words [PackedBlock::kWords] -> codes [PackedBlock::kCodes]
template <int Bits>
constexpr void unpack_block(const uint32_t* words, uint8_t* codes) {
  [&]<int... I>(std::integer_sequence<int, I...>) {
    ((codes[I] = detail::unpack_code<Bits, I>(words)), ...);
  }
  (std::make_integer_sequence<int, PackedBlock<Bits>::kCodes>());
}

// codes [PackedBlock::kCodes], each below 2^Bits -> words [PackedBlock::kWords]
template <int Bits>
constexpr void pack_block(const uint8_t* codes, uint32_t* words) {
  for (int i = 0; i < PackedBlock<Bits>::kWords; ++i) words[i] = 0;
  [&]<int... I>(std::integer_sequence<int, I...>) {
    (detail::pack_code<Bits, I>(codes[I], words), ...);
  }
  (std::make_integer_sequence<int, PackedBlock<Bits>::kCodes>());
}

// words [Spec::kWordsPerGroup] -> codes [Spec::kGroupSize]
template <class Spec>
constexpr void unpack_group(const uint32_t* words, uint8_t* codes) {
  using Block = PackedBlock<Spec::kBits>;
  for (int i = 0; i < Spec::kGroupSize / Block::kCodes; ++i)
    unpack_block<Spec::kBits>(words + i * Block::kWords, codes + i * Block::kCodes);
}

// codes [Spec::kGroupSize] -> words [Spec::kWordsPerGroup]
template <class Spec>
constexpr void pack_group(const uint8_t* codes, uint32_t* words) {
  using Block = PackedBlock<Spec::kBits>;
  for (int i = 0; i < Spec::kGroupSize / Block::kCodes; ++i)
    pack_block<Spec::kBits>(codes + i * Block::kCodes, words + i * Block::kWords);
}

}  // namespace strake
