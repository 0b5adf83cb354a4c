// Products with few rows of activations: weights from memory at its speed, once for all rows.
//
// A warp multiplies one leaf of one row tile: its codes are one run of bytes, which come through a
// ring of the warp's own and become the tensor cores' A; up to 8 or 16 rows of activations are B,
// from shared memory. A block makes some items (row tiles), leaf by leaf, its leaves' sums meet in
// shared memory and combine along the tree: at the end where all have a place there, else item by
// item. Where activations of all leaves do not fit, blocks have a slice of the leaves each, and
// whoever is last combines. No sum depends on which.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "ops/cuda/few_rows_work.h"
#include "ops/cuda/fragments.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {

// A packed format as a type. Element is what A and B are: __nv_bfloat16, or __half for dense
// float16 weights and activations.
template <Coding C, Scaling S, int Group, class Element>
struct PackedType {
  static constexpr PackedFormat kFormat = {C, S, Group};
  static constexpr bool kAffine = S == Scaling::kAffine16 || S == Scaling::kAffine32;
  // A group has sums of its activations, and of those times what codes are shifted by.
  static constexpr bool kShiftSums = kAffine && has_two_places(C);
  using T = Element;
};

// Among a group's sums, where a row of activations has its own: rows of higher halves first.
__device__ __forceinline__ int sum_column(const FewRowsParameters& p, int row) {
  return row < p.x_rows ? row : row - p.x_rows + p.group_sums / 2;
}

// How many floats a group has.
template <class Type>
__device__ __forceinline__ int floats_of_group(const FewRowsParameters& p) {
  return (Type::kShiftSums ? 2 : 1) * p.group_sums;
}

// Of a visit of a mixture, what a lane has of the tokens of columns 2t and 2t + 1.
template <int kOctets>
struct LaneTokens {
  bool there[kOctets][2];
  float factor[kOctets][2];
};

// Where a lane finds the activations of a visit's columns.
template <int kOctets>
struct LaneColumns {
  uint32_t row[kOctets];  // shared address of what the lane names to ldmatrix
  int sums[kOctets][2];   // of columns 2t and 2t + 1 among a group's sums: without experts a pair

  template <class Work>
  __device__ void set(const Work& work, int visit, int lane, uint32_t shared) {
    const FewRowsParameters& p = work.p;
#pragma unroll
    for (int octet = 0; octet < kOctets; ++octet) {
      const auto of_column = [&](int column) {
        const bool halves = p.x_halves == 2;
        const int in_visit = column + (halves ? 0 : 8 * octet);
        const int row = Work::kExperts ? work.row_of(visit, in_visit) : min(in_visit, p.x_rows - 1);
        return row + (halves ? octet * p.x_rows : 0);
      };
      row[octet] = shared + p.x_at + of_column(lane % 8) * p.x_row_bytes + lane / 8 * 16;
      sums[octet][0] = sum_column(p, of_column(2 * (lane % 4)));
      if constexpr (Work::kExperts)
        sums[octet][1] = sum_column(p, of_column(2 * (lane % 4) + 1));
      else
        sums[octet][0] &= ~1;
    }
  }

  // Of a mixture's visit, where `columns` [8 * kOctets] are its own: one for each token, of which
  // those absent have the first row's.
  __device__ __forceinline__ void set_tokens(const FewRowsParameters& p, const MixedColumn* columns,
                                             int lane, uint32_t shared,
                                             LaneTokens<kOctets>& tokens) {
#pragma unroll
    for (int octet = 0; octet < kOctets; ++octet) {
      const bool halves = p.x_halves == 2;
      const int first = halves ? 0 : 8 * octet, before = halves ? octet * p.x_rows : 0;
      const auto row_of = [&](uint32_t word) {
        return static_cast<int>(word & ~MixedColumn::kAbsent) + before;
      };
      row[octet] =
          shared + p.x_at + row_of(columns[first + lane % 8].row) * p.x_row_bytes + lane / 8 * 16;
      const auto two = *reinterpret_cast<const uint4*>(columns + first + 2 * (lane % 4));
      tokens.there[octet][0] = two.x < MixedColumn::kAbsent;
      tokens.there[octet][1] = two.z < MixedColumn::kAbsent;
      tokens.factor[octet][0] = __uint_as_float(two.y);
      tokens.factor[octet][1] = __uint_as_float(two.w);
      sums[octet][0] = sum_column(p, row_of(two.x));
      sums[octet][1] = sum_column(p, row_of(two.z));
    }
  }
};

__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address)
               : "memory");
}

// A warp's sums of 16 rows and up to 8 * kOctets columns: each lane's, of rows g, g, g + 8, g + 8
// and columns 2t, 2t + 1, 2t, 2t + 1.
template <class Type, int kOctets>
struct LeafSums {
  float sum[kOctets][4];
  float part[Type::kAffine ? kOctets : 1][4];  // of a group, still to be scaled

  __device__ void clear() {
#pragma unroll
    for (auto& four : sum)
#pragma unroll
      for (float& value : four) value = 0.0f;
  }

  // Some tiles, of which the first begins a block of scales. `x` is the first one's byte in a row
  // of activations, `group_sums` those of its groups.
  template <class Work, ScaleType kScale, int kTiles>
  __device__ __forceinline__ void add_tiles(const FewRowsParameters& p, const uint8_t* codes,
                                            const uint8_t* scales,
                                            const LaneColumns<kOctets>& columns, int x,
                                            const float* group_sums, int lane) {
    constexpr PackedFormat kFormat = Type::kFormat;
    constexpr int kPerBlock = kFormat.tiles_per_block();
    LaneCodes<kFormat.coding> words[kTiles];
    uint32_t b[kTiles][kOctets][2][4];
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      words[i].load(codes + i * kFormat.tile_bytes(), lane);
#pragma unroll
      for (int octet = 0; octet < kOctets; ++octet)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          load_matrices(b[i][octet][half],
                        columns.row[octet] + x + (2 * i + half) * (kTileInputs / 2 * 2));
    }
    if constexpr (kFormat.scaling == Scaling::kE8M0) {
      PowerScales<kExponent> powers[kTiles];
      uint32_t all = 0;
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        powers[i].bytes = *reinterpret_cast<const uint32_t*>(
            scales + i * kFormat.scale_block_bytes() + lane / 4 * 4);
        all |= powers[i].bytes;
      }
      // One branch for all, so that the instructions of one tile fill the gaps of another's.
      if (__any_sync(~0u, PowerScales<kExponent>{all}.wide())) {
#pragma unroll
        for (int i = 0; i < kTiles; ++i)
          multiply(words[i], b[i], [&](int reg, uint32_t pair) {
            return multiply_pairs_by(multiply_pairs(pair, PowerScales<kExponent>::kFirst),
                                     powers[i].rows_second(reg / 8), reg % 2);
          });
      } else {
#pragma unroll
        for (int i = 0; i < kTiles; ++i)
          multiply(words[i], b[i], [&](int reg, uint32_t pair) {
            return multiply_pairs_by(pair, powers[i].rows_factor(reg / 8), reg % 2);
          });
      }
    } else {
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        const uint8_t* const of_tile = scales + i / kPerBlock * kFormat.scale_block_bytes();
        if constexpr (Type::kAffine) {
          add_affine<Work, kScale>(
              p, words[i], of_tile, i, columns,
              group_sums + i / kPerBlock * kFormat.groups_per_block() * floats_of_group<Type>(p),
              b[i], lane);
        } else if constexpr (kFormat.scaling == Scaling::kE4M3) {
          uint32_t factors[4];
          nvfp4_factors(*reinterpret_cast<const uint2*>(of_tile + lane / 4 * 8), factors);
          multiply(words[i], b[i], [&](int reg, uint32_t pair) {
            return multiply_pairs_by(pair, factors[reg / 4], reg % 2);
          });
        } else {
          multiply(words[i], b[i], [](int, uint32_t pair) { return pair; });
        }
      }
    }
  }

 private:
  static constexpr int kExponent =
      Type::kFormat.coding == Coding::kE2M1 ? kE2M1Exponent : kE4M3Exponent;

  // A tile's sums, whose values are value(register, decoded codes).
  template <class Value>
  __device__ __forceinline__ void multiply(const LaneCodes<Type::kFormat.coding>& words,
                                           const uint32_t (&b)[kOctets][2][4], const Value& value) {
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      uint32_t a[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) a[i] = value(4 * step + i, words.pair(4 * step + i));
#pragma unroll
      for (int octet = 0; octet < kOctets; ++octet)
        mma<typename Type::T>(sum[octet], a, b[octet][step / 2][step % 2 * 2],
                              b[octet][step / 2][step % 2 * 2 + 1]);
    }
  }

  struct GroupScales {
    float scale[2];  // of rows g and g + 8
    float bias[2];
  };
  template <ScaleType kScale>
  __device__ __forceinline__ static GroupScales group_scales(const uint8_t* at) {
    if constexpr (kScale == ScaleType::kF32) {
      const auto four = *reinterpret_cast<const float4*>(at);
      return {{four.x, four.y}, {four.z, four.w}};
    } else {
      const auto pairs = *reinterpret_cast<const uint2*>(at);
      if constexpr (kScale == ScaleType::kF16) {
        const float2 scale = __half22float2(reinterpret_cast<const __half2&>(pairs.x));
        const float2 bias = __half22float2(reinterpret_cast<const __half2&>(pairs.y));
        return {{scale.x, scale.y}, {bias.x, bias.y}};
      }
      return {{__uint_as_float(pairs.x << 16), __uint_as_float(pairs.x & 0xffff0000u)},
              {__uint_as_float(pairs.y << 16), __uint_as_float(pairs.y & 0xffff0000u)}};
    }
  }

  template <class Work, ScaleType kScale>
  __device__ __forceinline__ void add_affine(const FewRowsParameters& p,
                                             const LaneCodes<Type::kFormat.coding>& words,
                                             const uint8_t* scales, int tile,
                                             const LaneColumns<kOctets>& columns,
                                             const float* group_sums,
                                             const uint32_t (&b)[kOctets][2][4], int lane) {
    constexpr PackedFormat kFormat = Type::kFormat;
    using Codes = LaneCodes<kFormat.coding>;
    constexpr int kGroups = kFormat.groups_per_block();
    constexpr int kSteps = 4 / kGroups;
    constexpr bool kSpans = kFormat.group > kTileInputs;  // two tiles
    constexpr int kGroupBytes = kScale == ScaleType::kF32 ? 16 : 8;
    // Scales of 16 bits times one shift leave biases exact, or nearly.
    constexpr bool kShiftBias = Codes::kShifted && !Type::kShiftSums && kScale != ScaleType::kF32;
    constexpr bool kShifted = kShiftBias || Type::kShiftSums;
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const float* const of_group = group_sums + group * floats_of_group<Type>(p);
      const auto sums_of = [&](int octet, const float* sums) {
        const float* const at = sums + columns.sums[octet][0];
        return Work::kExperts ? make_float2(*at, sums[columns.sums[octet][1]])
                              : *reinterpret_cast<const float2*>(at);
      };
      if (!kSpans || tile % 2 == 0) {
#pragma unroll
        for (int octet = 0; octet < kOctets; ++octet) {
          float2 from = make_float2(0.0f, 0.0f);
          if constexpr (Type::kShiftSums) from = sums_of(octet, of_group + p.group_sums);
#pragma unroll
          for (int i = 0; i < 4; ++i) part[octet][i] = i % 2 == 0 ? from.x : from.y;
        }
      }
#pragma unroll
      for (int step = group * kSteps; step < (group + 1) * kSteps; ++step) {
        uint32_t a[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if constexpr (kShifted)
            a[i] = words.shifted_pair(4 * step + i);
          else
            a[i] = words.pair(4 * step + i);
        }
#pragma unroll
        for (int octet = 0; octet < kOctets; ++octet)
          mma<typename Type::T>(part[octet], a, b[octet][step / 2][step % 2 * 2],
                                b[octet][step / 2][step % 2 * 2 + 1]);
      }
      if (kSpans && tile % 2 == 0) continue;
      GroupScales by = group_scales<kScale>(scales + (lane / 4 * kGroups + group) * kGroupBytes);
      if constexpr (kShiftBias)
#pragma unroll
        for (int row = 0; row < 2; ++row)
          by.bias[row] = fmaf(-static_cast<float>(Codes::shift(0)), by.scale[row], by.bias[row]);
#pragma unroll
      for (int octet = 0; octet < kOctets; ++octet) {
        const float2 x = sums_of(octet, of_group);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          sum[octet][i] = fmaf(by.scale[i / 2], part[octet][i], sum[octet][i]);
          sum[octet][i] = fmaf(by.bias[i / 2], i % 2 == 0 ? x.x : x.y, sum[octet][i]);
        }
      }
    }
  }
};

}  // namespace strake::cuda
