// Tiles of a packed weight on their way to a product with many rows: each lane decodes its own part
// with its scales to the A operand's 16-bit numbers.
//
// e2m1 and e4m3 values times their scales are exact in bfloat16, but for magnitudes below its
// subnormals (2^-133). Affine values are rounded once, from float32 or by one fused operation.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "ops/cuda/fragments.h"

namespace strake::cuda {

// How affine codes meet their scales: in bfloat16, which operand, scales and biases then are, or in
// float32.
enum class AffinePath { kNative, kFloat };

// A packed weight as these kernels read it.
struct PackedPointers {
  const uint8_t* codes;
  const uint8_t* scales;
  ScaleType scale_type;       // affine
  int32_t scale_block_bytes;  // PackedFormat's
  int32_t tiles_per_block;
  int32_t groups_per_block;
};

namespace detail {

__device__ __forceinline__ float float_of(uint32_t half, ScaleType type) {
  if (type == ScaleType::kBf16) return __uint_as_float(half << 16);
  return __half2float(__ushort_as_half(static_cast<uint16_t>(half)));
}
template <class Half>
__device__ __forceinline__ uint32_t round_pair(float low, float high) {
  if constexpr (std::is_same_v<Half, __half>) {
    const __half2 pair = __floats2half2_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&pair);
  } else {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&pair);
  }
}

// Scales of a tile that a lane has, as its codes are multiplied with them.
// Dense weights are not decoded: products take them as they are loaded, so that their registers
// must be free by then.
struct DenseSource {
  const uint8_t* at;  // this lane's part of the first step
};
struct FloatingScales {
  uint32_t words[4];  // factors: of e8m0 a group's and row's each, of e4m3 a step's two rows
  bool e4m3;
  bool wide;  // e8m0: some lane's do not fit one multiplication, and are second factors
};
struct PairScales {
  uint2 pairs[2];  // scales and biases of rows g and g + 8, of each half of the tile
};
struct FloatScales {
  float scale[4];  // [half of the tile][row g, row g + 8]
  float bias[4];
};
template <Coding kCode, AffinePath kPath>
using ScalesOf = std::conditional_t<
    kCode == Coding::kDense, DenseSource,
    std::conditional_t<kCode == Coding::kE4M3 || kCode == Coding::kE2M1, FloatingScales,
                       std::conditional_t<kPath == AffinePath::kNative, PairScales, FloatScales>>>;

}  // namespace detail

// HalfType is what is multiplied: __nv_bfloat16, or __half for affine (kFloat) and dense weights.
template <Coding kCode, class HalfType, AffinePath kPath>
struct WeightFragment {
  using Half = HalfType;
  using Scales = detail::ScalesOf<kCode, kPath>;
  static constexpr int kTileBytes = 128 * code_bits(kCode);
  // What rows g and g + 8 have of a tile's scales at most: four e8m0, eight e4m3, two affine
  // groups'.
  static constexpr int kScaleBytes = kCode == Coding::kDense        ? 0
                                     : kCode == Coding::kE4M3       ? 4
                                     : kCode == Coding::kE2M1       ? 8
                                     : kPath == AffinePath::kNative ? 16
                                                                    : 32;
  // Of a tile in shared memory: codes, then a block of scales, as they are packed.
  static constexpr int kSlotBytes = kTileBytes + 8 * kScaleBytes;
  // Sums are to be multiplied by the parameter sum_factor().
  static constexpr bool kHasSumFactor = kCode == Coding::kE2M1;

  static __host__ float sum_factor(Scaling scaling, float tensor_scale) {
    return scaling == Scaling::kE4M3 ? tensor_scale * (1 << -kNvfp4Exponent) : tensor_scale;
  }

  // Where a tile's codes are, and the block of its scales.
  static __device__ __forceinline__ const uint8_t* codes_of(const PackedPointers& from,
                                                            uint32_t tile) {
    return from.codes + static_cast<int64_t>(tile) * kTileBytes;
  }
  static __device__ __forceinline__ const uint8_t* scales_of(const PackedPointers& from,
                                                             uint32_t tile) {
    const uint32_t block = from.tiles_per_block == 2 ? tile >> 1 : tile;
    return from.scales + static_cast<int64_t>(block) * from.scale_block_bytes;
  }

  // What a lane has of a tile, before it is decoded step by step.
  struct Tile {
    LaneCodes<kCode> codes;
    Scales scales;
  };
  // From a slot.
  static __device__ __forceinline__ void load_slot(const PackedPointers& from, const uint8_t* slot,
                                                   int lane, Tile& tile) {
    load(from, slot, slot + kTileBytes, lane, tile);
  }
  // From the packed weight itself, all at once.
  static __device__ __forceinline__ void decode_tile(const PackedPointers& from, uint32_t tile,
                                                     int lane, uint32_t (&a)[kLaneRegisters]) {
    Tile of_lane;
    load(from, codes_of(from, tile), scales_of(from, tile), lane, of_lane);
    decode<0>(of_lane, a);
    decode<1>(of_lane, a);
    decode<2>(of_lane, a);
    decode<3>(of_lane, a);
  }

  // Registers 4 kStep .. 4 kStep + 3.
  template <int kStep>
  static __device__ __forceinline__ void decode(const Tile& tile, uint32_t (&a)[kLaneRegisters]) {
    const Scales& scales = tile.scales;
    if constexpr (kCode == Coding::kDense) {
      const auto four = *reinterpret_cast<const uint4*>(scales.at + 512 * kStep);
      a[4 * kStep] = four.x;
      a[4 * kStep + 1] = four.y;
      a[4 * kStep + 2] = four.z;
      a[4 * kStep + 3] = four.w;
    } else if constexpr (kCode == Coding::kE4M3 || kCode == Coding::kE2M1) {
      if (kCode == Coding::kE4M3 || !scales.e4m3) {
        const auto factor = [&](int reg) { return scales.words[2 * (reg / 8) + (reg & 1)]; };
        // One branch for the warp.
        if (scales.wide) {
#pragma unroll
          for (int reg = 4 * kStep; reg < 4 * kStep + 4; ++reg)
            a[reg] =
                multiply_pairs(multiply_pairs(tile.codes.pair(reg), Powers::kFirst), factor(reg));
          return;
        }
#pragma unroll
        for (int reg = 4 * kStep; reg < 4 * kStep + 4; ++reg)
          a[reg] = multiply_pairs(tile.codes.pair(reg), factor(reg));
        return;
      }
      const uint32_t rows = scales.words[kStep];
#pragma unroll
      for (int reg = 4 * kStep; reg < 4 * kStep + 4; ++reg)
        a[reg] = multiply_pairs(tile.codes.pair(reg), reg & 1 ? high_twice(rows) : low_twice(rows));
    } else {
#pragma unroll
      for (int reg = 4 * kStep; reg < 4 * kStep + 4; ++reg) {
        const uint32_t pair = tile.codes.pair(reg);
        if constexpr (kPath == AffinePath::kNative) {
          const uint2 of = scales.pairs[kStep / 2];
          a[reg] = fma_pairs(pair, reg & 1 ? high_twice(of.x) : low_twice(of.x),
                             reg & 1 ? high_twice(of.y) : low_twice(of.y));
        } else {
          const int of = 2 * (kStep / 2) + (reg & 1);
          a[reg] = detail::round_pair<Half>(
              fmaf(__uint_as_float(pair << 16), scales.scale[of], scales.bias[of]),
              fmaf(__uint_as_float(pair & 0xffff0000), scales.scale[of], scales.bias[of]));
        }
      }
    }
  }

 private:
  using Powers = PowerScales<kCode == Coding::kE4M3 ? kE4M3Exponent : kE2M1Exponent>;

  static __device__ __forceinline__ void load(const PackedPointers& from, const uint8_t* tile,
                                              const uint8_t* block, int lane, Tile& to) {
    // Each g has an eighth of the block.
    const uint8_t* const scales = block + lane / 4 * (from.scale_block_bytes / 8);
    if constexpr (kCode == Coding::kDense)
      to.scales.at = tile + 16 * lane;
    else
      to.codes.load(tile, lane);
    if constexpr (kCode == Coding::kE4M3 || kCode == Coding::kE2M1) {
      to.scales.e4m3 = kCode == Coding::kE2M1 && from.scale_block_bytes != 32;
      if (to.scales.e4m3) {
        nvfp4_factors(*reinterpret_cast<const uint2*>(scales), to.scales.words);
      } else {
        const Powers powers{*reinterpret_cast<const uint32_t*>(scales)};
        to.scales.wide = __any_sync(0xffffffff, powers.wide()) != 0;
#pragma unroll
        for (int i = 0; i < 4; ++i)
          to.scales.words[i] = to.scales.wide ? powers.second(i) : powers.factor(i);
      }
    } else if constexpr (kCode != Coding::kDense && kPath == AffinePath::kNative) {
      to.scales.pairs[0] = *reinterpret_cast<const uint2*>(scales);
      to.scales.pairs[1] =
          *reinterpret_cast<const uint2*>(scales + (from.groups_per_block == 2 ? 8 : 0));
    } else if constexpr (kCode != Coding::kDense) {
      load_floats(from, scales, to.scales);
    }
  }

  static __device__ __forceinline__ void load_floats(const PackedPointers& from,
                                                     const uint8_t* scales, Scales& to) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int group = from.groups_per_block == 2 ? half : 0;
      if (from.scale_type == ScaleType::kF32) {
        const auto four = *reinterpret_cast<const float4*>(scales + 16 * group);
        to.scale[2 * half] = four.x;
        to.scale[2 * half + 1] = four.y;
        to.bias[2 * half] = four.z;
        to.bias[2 * half + 1] = four.w;
      } else {
        const auto two = *reinterpret_cast<const uint2*>(scales + 8 * group);
        to.scale[2 * half] = detail::float_of(two.x & 0xffff, from.scale_type);
        to.scale[2 * half + 1] = detail::float_of(two.x >> 16, from.scale_type);
        to.bias[2 * half] = detail::float_of(two.y & 0xffff, from.scale_type);
        to.bias[2 * half + 1] = detail::float_of(two.y >> 16, from.scale_type);
      }
    }
  }
};

}  // namespace strake::cuda
