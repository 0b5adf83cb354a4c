// Tiles of a packed weight on their way to a product with many rows: each lane copies its own part
// to shared memory ahead of time, and decodes it with its scales to the A operand's 16-bit numbers.
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
enum class ScaleType : int32_t { kBf16, kF16, kF32 };

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

// This lane's own bytes: they are there, for it alone, when its group of copies is.
template <int kBytes>
__device__ __forceinline__ void copy_async(uint8_t* to, const uint8_t* from) {
  const auto shared = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  if constexpr (kBytes == 16)
    asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16;" ::"r"(shared), "l"(from)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global.L2::128B [%0], [%1], %2;" ::"r"(shared), "l"(from),
                 "n"(kBytes)
                 : "memory");
}

// A lane's part of a plane of kPlane bits a code.
template <int kPlane>
__device__ __forceinline__ void copy_plane(uint8_t* to, const uint8_t* from, int lane) {
  constexpr int kPiece = piece_bytes(kPlane);
#pragma unroll
  for (int i = 0; i < 4 * kPlane / kPiece; ++i) {
    const int at = (i * kLanes + lane) * kPiece;
    copy_async<kPiece>(to + at, from + at);
  }
}

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
  uint32_t words[4];  // the first: four e8m0 bytes; or all: e4m3 factors of a step each
  bool e4m3;
  bool wide;  // e8m0: some lane's do not fit one multiplication
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
  // What a lane has of the scales at most: four e8m0, eight e4m3, two affine groups'.
  static constexpr int kScaleBytes = kCode == Coding::kDense        ? 0
                                     : kCode == Coding::kE4M3       ? 4
                                     : kCode == Coding::kE2M1       ? 8
                                     : kPath == AffinePath::kNative ? 16
                                                                    : 32;
  // Of a tile, for a warp: codes as they are packed, then each lane's scales.
  static constexpr int kSlotBytes = kTileBytes + kLanes * kScaleBytes;
  // Sums are to be multiplied by the parameter sum_factor().
  static constexpr bool kHasSumFactor = kCode == Coding::kE2M1;

  static __host__ float sum_factor(Scaling scaling, float tensor_scale) {
    return scaling == Scaling::kE4M3 ? tensor_scale * (1 << -kNvfp4Exponent) : tensor_scale;
  }

  static __device__ __forceinline__ const uint8_t* scales_of(const PackedPointers& from,
                                                             uint32_t tile, int lane) {
    const uint32_t block = from.tiles_per_block == 2 ? tile >> 1 : tile;
    // Each g has an eighth of the block.
    return from.scales + static_cast<int64_t>(block) * from.scale_block_bytes +
           lane / 4 * (from.scale_block_bytes / 8);
  }

  // Starts copying this lane's part of a tile to its places in the slot.
  static __device__ __forceinline__ void copy(const PackedPointers& from, uint32_t tile, int lane,
                                              uint8_t* slot) {
    const uint8_t* const codes = from.codes + static_cast<int64_t>(tile) * kTileBytes;
    if constexpr (kCode == Coding::kUInt3) {
      detail::copy_plane<2>(slot, codes, lane);
      detail::copy_plane<1>(slot + 256, codes + 256, lane);
    } else if constexpr (kCode == Coding::kUInt5) {
      detail::copy_plane<4>(slot, codes, lane);
      detail::copy_plane<1>(slot + 512, codes + 512, lane);
    } else if constexpr (kCode == Coding::kUInt6) {
      detail::copy_plane<4>(slot, codes, lane);
      detail::copy_plane<2>(slot + 512, codes + 512, lane);
    } else {
      detail::copy_plane<code_bits(kCode)>(slot, codes, lane);
    }
    if constexpr (kScaleBytes > 0) {
      const uint8_t* const scales = scales_of(from, tile, lane);
      uint8_t* const to = slot + kTileBytes + lane * kScaleBytes;
      switch (from.scale_block_bytes / 8) {
        case 4:
          if constexpr (kScaleBytes <= 8) detail::copy_async<4>(to, scales);
          break;
        case 8:
          if constexpr (kScaleBytes >= 8) detail::copy_async<8>(to, scales);
          break;
        case 32:
          if constexpr (kScaleBytes == 32) detail::copy_async<16>(to + 16, scales + 16);
          [[fallthrough]];
        default:
          if constexpr (kScaleBytes >= 16) detail::copy_async<16>(to, scales);
      }
    }
  }

  // What a lane has of a tile, before it is decoded step by step.
  struct Tile {
    LaneCodes<kCode> codes;
    Scales scales;
  };
  // From a slot that copy() filled.
  static __device__ __forceinline__ void load_slot(const PackedPointers& from, const uint8_t* slot,
                                                   int lane, Tile& tile) {
    load(from, slot, slot + kTileBytes + lane * kScaleBytes, lane, tile);
  }
  // From the packed weight itself, all at once.
  static __device__ __forceinline__ void decode_tile(const PackedPointers& from, uint32_t tile,
                                                     int lane, uint32_t (&a)[kLaneRegisters]) {
    Tile of_lane;
    load(from, from.codes + static_cast<int64_t>(tile) * kTileBytes, scales_of(from, tile, lane),
         lane, of_lane);
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
        constexpr int kExponent = kCode == Coding::kE4M3 ? kE4M3Exponent : kE2M1Exponent;
        const PowerScales<kExponent> powers{scales.words[0]};
        // One branch for the warp.
        if (scales.wide) {
#pragma unroll
          for (int reg = 4 * kStep; reg < 4 * kStep + 4; ++reg)
            a[reg] = multiply_pairs(multiply_pairs(tile.codes.pair(reg), powers.kFirst),
                                    powers.second(2 * (reg / 8) + (reg & 1)));
          return;
        }
#pragma unroll
        for (int reg = 4 * kStep; reg < 4 * kStep + 4; ++reg)
          a[reg] = multiply_pairs(tile.codes.pair(reg), powers.factor(2 * (reg / 8) + (reg & 1)));
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
  static __device__ __forceinline__ void load(const PackedPointers& from, const uint8_t* tile,
                                              const uint8_t* scales, int lane, Tile& to) {
    if constexpr (kCode == Coding::kDense)
      to.scales.at = tile + 16 * lane;
    else
      to.codes.load(tile, lane);
    if constexpr (kCode == Coding::kE4M3 || kCode == Coding::kE2M1) {
      to.scales.e4m3 = kCode == Coding::kE2M1 && from.scale_block_bytes != 32;
      if (to.scales.e4m3) {
        nvfp4_factors(*reinterpret_cast<const uint2*>(scales), to.scales.words);
      } else {
        to.scales.words[0] = *reinterpret_cast<const uint32_t*>(scales);
        to.scales.wide = __any_sync(0xffffffff, (to.scales.words[0] & 0x80808080u) != 0) != 0;
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
