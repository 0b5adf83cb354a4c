// What becomes of a sum of many_rows_kernel_sm90.h while the next one is made.
#pragma once

#include "ops/cuda/many_rows_shape_sm90.h"

namespace strake::cuda {

// A sum in registers that meets the sums on the stack which are to be merged with it, on its way to
// its own level there, or to the result: quarters of it go beside the products of the next sum.
//
// It is only read: products that are under way keep all accumulators' registers to themselves, and
// the assembler puts them one after the other where something else is written there.
template <class Kernel>
struct WaitingSum {
  static constexpr int kRegisters = Kernel::kRegisters;
  static constexpr int kVectors = kRegisters / 16;  // of a quarter

  const Kernel& k;
  const float (&sums)[kRegisters];
  bool is_some = false;
  bool is_result = false;
  int merges = 0;  // with levels `height` - 1 and below
  int height = 0;
  float4* to = nullptr;
  ManyRowsParameters::Place place{};  // of a result

  template <int kQuarter>
  __device__ void load_level(int index, float4 (&left)[kVectors]) const {
    const float4* const from = k.level(index) + kQuarter * kVectors * kProductThreads;
#pragma unroll
    for (int i = 0; i < kVectors; ++i) left[i] = from[i * kProductThreads];
  }
  template <int kQuarter>
  __device__ void load(float4 (&left)[kVectors]) const {
    if (merges > 0) load_level<kQuarter>(height - 1, left);
  }
  template <int kQuarter>
  __device__ void store(float4 (&left)[kVectors]) const {
    constexpr int kFirst = kQuarter * kVectors;
    float4 sum[kVectors];
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      const float* const of = sums + 4 * (kFirst + i);
      sum[i] = make_float4(of[0], of[1], of[2], of[3]);
    }
#pragma unroll 1
    for (int merge = 0; merge < merges; ++merge) {
      if (merge > 0) load_level<kQuarter>(height - 1 - merge, left);
#pragma unroll
      for (int i = 0; i < kVectors; ++i)
        sum[i] = make_float4(left[i].x + sum[i].x, left[i].y + sum[i].y, left[i].z + sum[i].z,
                             left[i].w + sum[i].w);
    }
    ManyRowsParameters::Place at = place;
    // Addresses are made here, not before the loop around this, where they have no registers.
    asm volatile("" : "+r"(at.row_group), "+r"(at.token_block));
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      if (is_result)
        k.write(at, kFirst + i, sum[i]);
      else
        to[(kFirst + i) * kProductThreads] = sum[i];
    }
  }
  __device__ void load(int quarter, float4 (&left)[kVectors]) const {
    switch (quarter) {
      case 0:
        return load<0>(left);
      case 1:
        return load<1>(left);
      case 2:
        return load<2>(left);
      default:
        return load<3>(left);
    }
  }
  __device__ void store(int quarter, float4 (&left)[kVectors]) const {
    switch (quarter) {
      case 0:
        return store<0>(left);
      case 1:
        return store<1>(left);
      case 2:
        return store<2>(left);
      default:
        return store<3>(left);
    }
  }

  // What goes beside tile `index` of `tiles`: a quarter, or beside the last one all that are
  // left.
  struct Part {
    const WaitingSum& of;
    int begin;
    int end;
    float4 left[kVectors];

    __device__ Part(const WaitingSum& waiting, int index, int tiles)
        : of(waiting),
          begin(index),
          end(!of.is_some         ? 0
              : index + 1 < tiles ? min(index + 1, 4)
                                  : 4) {}
    __device__ void load() {
      if (begin < end) of.load(begin, left);
    }
    __device__ void store() {
      if (begin >= end) return;
#pragma unroll 1
      while (true) {
        of.store(begin, left);
        if (++begin == end) return;
        of.load(begin, left);
      }
    }
  };
  __device__ Part operator()(int index, int tiles) const { return {*this, index, tiles}; }
  __device__ void finish() const {
    Part all(*this, 0, 1);
    all.load();
    all.store();
  }
};

}  // namespace strake::cuda
