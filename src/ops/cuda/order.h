// Floats in their order as unsigned integers, and where in that order a sum is reached. For device
// code.
#pragma once

#include <cstdint>

#include "ops/cuda/reduce.h"

namespace strake::cuda {

// Zeros of either sign are equal; 0 is below every number. Of numbers alone.
__device__ inline uint32_t ordered(float value) {
  const uint32_t bits = __float_as_uint(value == 0.0f ? 0.0f : value);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

// The search looks at 11, 11, then 10 bits from the top.
inline constexpr int kOrderThreads = 1024;  // of the block
inline constexpr int kOrderBins = 2048;
inline constexpr int kOrderPasses = 3;
__host__ __device__ constexpr int order_shift(int pass) {
  return pass == 0 ? 21 : pass == 1 ? 10 : 0;
}

// Working memory of lowest_below(), the block's.
template <class Sum>
struct OrderRoom {
  Sum bins[kOrderBins];
  Sum parts[kWarp];
  Sum above;        // what weighs on what is above the bits found
  uint32_t prefix;  // the bits found
};

// The lowest order of a value of which the values above weigh less than `limit`, together. `each`
// calls its argument with (index, value) for the thread's own values; weight(index, order, value)
// is a whole number, so that sums have no order. All values must not weigh less than `limit`.
template <class Sum, class Each, class Weight>
__device__ uint32_t lowest_below(Sum limit, OrderRoom<Sum>& room, const Each& each,
                                 const Weight& weight) {
  constexpr int kBinsOfWarp = kOrderBins / (kOrderThreads / kWarp);
  __syncthreads();  // what was there has been read
  if (threadIdx.x == 0) {
    room.above = 0;
    room.prefix = 0;
  }
  for (int pass = 0; pass < kOrderPasses; ++pass) {
    for (int i = threadIdx.x; i < kOrderBins; i += kOrderThreads) room.bins[i] = 0;
    __syncthreads();
    const int shift = order_shift(pass);
    const int bits = (pass == 0 ? 32 : order_shift(pass - 1)) - shift;
    const uint32_t prefix = room.prefix;
    each([&](int64_t index, float value) {
      const uint32_t order = ordered(value);
      // Shifted twice: by 32 at once would not be defined.
      if (pass > 0 && (order ^ prefix) >> shift >> bits != 0) return;
      if (const Sum own = weight(index, order, value); own > 0)
        atomicAdd(&room.bins[order >> shift & ((1u << bits) - 1)], own);
    });
    __syncthreads();
    const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
    const Sum part = warp_sum(room.bins[warp * kBinsOfWarp + lane] +
                              room.bins[warp * kBinsOfWarp + kWarp + lane]);
    if (lane == 0) room.parts[warp] = part;
    __syncthreads();
    if (threadIdx.x == 0) {
      Sum above = room.above, before = above;
      int found = 0;
      for (int w = kOrderThreads / kWarp - 1; w >= 0 && above < limit; --w) {
        if (room.parts[w] == 0) continue;
        found = w;
        before = above;
        above += room.parts[w];
      }
      above = before;
      for (int bin = (found + 1) * kBinsOfWarp - 1; bin >= found * kBinsOfWarp && above < limit;
           --bin) {
        if (room.bins[bin] == 0) continue;
        room.above = above;
        room.prefix = prefix | static_cast<uint32_t>(bin) << shift;
        above += room.bins[bin];
      }
    }
    __syncthreads();
  }
  return room.prefix;
}

}  // namespace strake::cuda
