// Packed codes as the tensor cores' A operand: what a lane has of a tile (weight_layout.h), decoded
// to pairs of bfloat16. For device code.
#pragma once

#include <cstdint>

#include "ops/cuda/weight_layout.h"

namespace strake::cuda {

__device__ __forceinline__ uint32_t rotate_right(uint32_t word, int bits) {
  return __funnelshift_r(word, word, bits);
}

// (word & mask) | rest in one instruction, also where both are constants.
__device__ __forceinline__ uint32_t masked_or(uint32_t word, uint32_t mask, uint32_t rest) {
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(result) : "r"(word), "r"(mask), "r"(rest));
  return result;
}

// The same with (word & mask) ^ flipped.
__device__ __forceinline__ uint32_t masked_xor(uint32_t word, uint32_t mask, uint32_t flipped) {
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, 0x6a;" : "=r"(result) : "r"(word), "r"(mask), "r"(flipped));
  return result;
}

// Pairs of bfloat16. Exact here: subnormal numbers are kept. (sm_80 has no other than this.)
__device__ __forceinline__ uint32_t fma_pairs(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t result;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  return result;
}
__device__ __forceinline__ uint32_t multiply_pairs(uint32_t a, uint32_t b) {
  return fma_pairs(a, b, 0x80008000u);  // -0
}
__device__ __forceinline__ uint32_t add_pairs(uint32_t a, uint32_t b) {
  return fma_pairs(a, 0x3f803f80u, b);  // 1
}

constexpr uint32_t pair_of(uint32_t half) { return half << 16 | half; }
// 2^exponent, a normal number, twice.
constexpr uint32_t power_pair(int exponent) {
  return pair_of(static_cast<uint32_t>(exponent + 127) << 7);
}

// Decoded e2m1 codes are the numbers times 2^-126, e4m3 codes times 2^-120: their bits in place.
// All others are the numbers themselves.
inline constexpr int kE2M1Exponent = -126;
inline constexpr int kE4M3Exponent = -120;

// Two pairs of e4m3 codes as bits in place.
__device__ __forceinline__ void e4m3_pairs(uint32_t word, uint32_t& first, uint32_t& second) {
  first = word & 0x87f087f0u;
  second = (rotate_right(word, 4) & 0x87808780u) | ((word << 4) & 0x00700070u);
}

// Tile bytes that a lane has, as words: planes one after the other.
template <Coding kCoding>
struct LaneCodes {
  static constexpr int kBits = code_bits(kCoding);
  uint32_t words[kBits];

  // `tile` is 16-byte aligned, in shared or global memory.
  __device__ __forceinline__ void load(const uint8_t* tile, int lane) {
    if constexpr (kCoding == Coding::kUInt3) {
      load_plane<2>(tile, lane, words);
      load_plane<1>(tile + 256, lane, words + 2);
    } else if constexpr (kCoding == Coding::kUInt5) {
      load_plane<4>(tile, lane, words);
      load_plane<1>(tile + 512, lane, words + 4);
    } else if constexpr (kCoding == Coding::kUInt6) {
      load_plane<4>(tile, lane, words);
      load_plane<2>(tile + 512, lane, words + 4);
    } else {
      load_plane<kBits>(tile, lane, words);
    }
  }

  // Register `reg` (a constant after unrolling) of the tile's 16.
  __device__ __forceinline__ uint32_t pair(int reg) const {
    if constexpr (kCoding == Coding::kUInt8) {
      const uint32_t word = words[reg / 2] >> reg % 2 * 8;
      const uint32_t low = masked_or(word, pair_of(127), power_pair(7));   // 128 and the lower bits
      const uint32_t high = masked_or(word, pair_of(128), power_pair(7));  // 128 or 256
      return add_pairs(add_pairs(high, power_pair(8) | 0x80008000u), low);
    } else if constexpr (kShifted) {
      return add_pairs(shifted_pair(reg),
                       power_pair(7 - mantissa_place(kCoding, reg)) | 0x80008000u);
    } else if constexpr (kCoding == Coding::kE2M1) {
      constexpr uint32_t kMask = 0x81c081c0u;
      const uint32_t word = words[reg / 4];
      if (reg % 4 == 0) return word & kMask;
      if (reg % 4 == 1) return rotate_right(word, 6) & kMask;
      if (reg % 4 == 2) return rotate_right(word, 3) & kMask;
      return ((word & pair_of(0x1b)) * 0x4108u) & kMask;
    } else if constexpr (kCoding == Coding::kE4M3) {
      uint32_t pairs[2];
      e4m3_pairs(words[reg / 2], pairs[0], pairs[1]);
      return pairs[reg % 2];
    } else {
      return words[reg];
    }
  }

  // Integers cost an instruction less where each may be more by shift(reg).
  static constexpr bool kShifted =
      kCoding != Coding::kE2M1 && kCoding != Coding::kE4M3 && kCoding != Coding::kDense;
  static constexpr int shift(int reg) {
    return kCoding == Coding::kUInt8 ? -128 : 1 << (7 - mantissa_place(kCoding, reg));
  }
  __device__ __forceinline__ uint32_t shifted_pair(int reg) const {
    if constexpr (kCoding == Coding::kUInt8) {
      const uint32_t word = words[reg / 2] >> reg % 2 * 8;
      // 128 and the lower bits; -256 or -128.
      return add_pairs(masked_xor(word, pair_of(128), power_pair(8) | 0x80008000u),
                       masked_or(word, pair_of(127), power_pair(7)));
    } else {
      constexpr int kLow = has_two_places(kCoding) ? 2 : 4;  // bits
      const int place = mantissa_place(kCoding, reg), high = place + kLow;
      const uint32_t low = rotate_right(words[reg * kLow / 16], rotation(kCoding, reg));
      uint32_t bits = masked_or(low, pair_of(((1u << kLow) - 1) << place), power_pair(7 - place));
      if constexpr (kBits == kLow + 1)
        bits = masked_or(moved(words[kLow], one_bit_place(reg), high), pair_of(1u << high), bits);
      if constexpr (kBits == kLow + 2)
        bits =
            masked_or(moved(words[kLow + reg / 8], 2 * (reg % 8), high), pair_of(3u << high), bits);
      return bits;
    }
  }

 private:
  template <int kPlane>
  __device__ __forceinline__ static void load_plane(const uint8_t* plane, int lane, uint32_t* to) {
    if constexpr (kPlane == 1) {
      to[0] = *reinterpret_cast<const uint32_t*>(plane + 4 * lane);
    } else if constexpr (kPlane == 2) {
      const auto pair = *reinterpret_cast<const uint2*>(plane + 8 * lane);
      to[0] = pair.x;
      to[1] = pair.y;
    } else {
#pragma unroll
      for (int i = 0; i < kPlane / 4; ++i) {
        const auto four = *reinterpret_cast<const uint4*>(plane + 512 * i + 16 * lane);
        to[4 * i] = four.x;
        to[4 * i + 1] = four.y;
        to[4 * i + 2] = four.z;
        to[4 * i + 3] = four.w;
      }
    }
  }

  // The word with its bit `from` at `to`.
  __device__ __forceinline__ static uint32_t moved(uint32_t word, int from, int to) {
    return from < to ? word << (to - from) : word >> (from - to);
  }
};

// e8m0 scales of a lane's rows and groups, a byte each (e8m0_byte), as what decoded codes (times
// 2^kExponent) are multiplied with. Where a byte is 128 or more that may be beyond bfloat16, and
// takes two steps.
template <int kExponent>
struct PowerScales {
  uint32_t bytes;

  __device__ __forceinline__ bool wide() const { return (bytes & 0x80808080u) != 0; }
  // Byte `index` in each half.
  __device__ __forceinline__ uint32_t both(int index) const {
    return __byte_perm(bytes, 0, 0x4040u | index << 8 | index);
  }
  // Where wide() is false.
  __device__ __forceinline__ uint32_t factor(int index) const {
    return both(index) * 128 + power_pair(-kExponent - 127);
  }
  // Those of a group for both rows of a lane, g in the lower half.
  __device__ __forceinline__ uint32_t rows(int group) const {
    return __byte_perm(bytes, 0, group == 0 ? 0x4140 : 0x4342);
  }
  __device__ __forceinline__ uint32_t rows_factor(int group) const {
    return rows(group) * 128 + power_pair(-kExponent - 127);
  }
  __device__ __forceinline__ uint32_t rows_second(int group) const {
    return __vmaxu2(rows(group) * 128, pair_of(0x40));
  }
  // The two steps: first 2^-kExponent, then this: byte 0 is a subnormal number, 255 is infinity.
  static constexpr uint32_t kFirst = power_pair(-kExponent);
  __device__ __forceinline__ uint32_t second(int index) const {
    return __vmaxu2(both(index) * 128, pair_of(0x40));
  }
};

// nvfp4: e4m3 scales times decoded e2m1 codes give the values times 2^kNvfp4Exponent, which is left
// to whoever has the sum.
inline constexpr int kNvfp4Exponent = -8;

// Four groups' scales of rows g (halves low) and g + 8 (high), for a multiplication with codes.
__device__ __forceinline__ void nvfp4_factors(uint2 words, uint32_t (&factors)[4]) {
  e4m3_pairs(words.x, factors[0], factors[1]);
  e4m3_pairs(words.y, factors[2], factors[3]);
#pragma unroll
  for (int i = 0; i < 4; ++i)
    factors[i] = multiply_pairs(multiply_pairs(factors[i], power_pair(127)),
                                power_pair(-kE4M3Exponent - kE2M1Exponent + kNvfp4Exponent - 127));
}

// One half of a pair in both.
__device__ __forceinline__ uint32_t low_twice(uint32_t pair) {
  return __byte_perm(pair, 0, 0x1010);
}
__device__ __forceinline__ uint32_t high_twice(uint32_t pair) {
  return __byte_perm(pair, 0, 0x3232);
}

// A pair by one half of `factors`, 0 the lower: one instruction takes the half by itself.
__device__ __forceinline__ uint32_t multiply_pairs_by(uint32_t pair, uint32_t factors, int half) {
  uint32_t twice;
  if (half == 0)
    asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %1;\nmov.b32 %0, {low, low};\n}"
        : "=r"(twice)
        : "r"(factors));
  else
    asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %1;\nmov.b32 %0, {high, high};\n}"
        : "=r"(twice)
        : "r"(factors));
  return multiply_pairs(pair, twice);
}

}  // namespace strake::cuda
