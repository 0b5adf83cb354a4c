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

// The search looks at some bits at a time, from the top.
inline constexpr int kOrderThreads = 1024;  // of the block
inline constexpr int kOrderBits = 11;
inline constexpr int kOrderBins = 1 << kOrderBits;

// Orders that are alike above their last `bits`, as `prefix` is.
struct OrderSpan {
  int bits = 32;
  uint32_t prefix = 0;

  // Of orders in [low, high].
  __device__ static OrderSpan between(uint32_t low, uint32_t high) {
    const int bits = 32 - __clz(static_cast<int>(low ^ high));
    return {bits, bits == 32 ? 0 : low >> bits << bits};
  }
  __device__ bool has(uint32_t order) const { return bits == 32 || (order ^ prefix) >> bits == 0; }
};

// Working memory of lowest_below(), the block's.
template <class Sum>
struct OrderRoom {
  Sum bins[kOrderBins];
  Sum parts[kWarp];
  Sum above;        // what weighs on what is above the bits found
  uint32_t prefix;  // the bits found
};

// The sum of the values of all lanes above this one.
template <class Sum>
__device__ Sum sum_above(Sum own) {
  const int lane = threadIdx.x % kWarp;
  Sum sum = own;
#pragma unroll
  for (int step = 1; step < kWarp; step *= 2) {
    const Sum more = __shfl_down_sync(0xffffffffu, sum, step);
    if (lane + step < kWarp) sum += more;
  }
  return sum - own;
}

// The lowest order of a value of which the values above weigh less than `limit`, together. `each`
// calls its argument with (index, value) for the thread's own values; weight(index, order, value)
// is a whole number, so that sums have no order. All values must not weigh less than `limit`, and
// those that weigh something must be in `span`.
template <class Sum, class Each, class Weight>
__device__ uint32_t lowest_below(Sum limit, OrderRoom<Sum>& room, OrderSpan span, const Each& each,
                                 const Weight& weight) {
  constexpr int kBinsOfWarp = kOrderBins / (kOrderThreads / kWarp);
  static_assert(kBinsOfWarp == 2 * kWarp && kOrderThreads == kWarp * kWarp);
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  __syncthreads();  // what was there has been read
  if (threadIdx.x == 0) {
    room.above = 0;
    room.prefix = span.prefix;
  }
  if (span.bits == 0) __syncthreads();
  while (span.bits > 0) {
    for (int i = threadIdx.x; i < kOrderBins; i += kOrderThreads) room.bins[i] = 0;
    __syncthreads();
    span.prefix = room.prefix;
    const int shift = max(0, span.bits - kOrderBits);
    const uint32_t bins = 1u << (span.bits - shift);
    each([&](int64_t index, float value) {
      const uint32_t order = ordered(value);
      if (!span.has(order)) return;
      if (const Sum own = weight(index, order, value); own > 0)
        atomicAdd(&room.bins[order >> shift & (bins - 1)], own);
    });
    __syncthreads();
    const Sum* const own_bins = room.bins + warp * kBinsOfWarp + 2 * lane;
    const Sum part = warp_sum(own_bins[0] + own_bins[1]);
    if (lane == 0) room.parts[warp] = part;
    __syncthreads();
    if (warp == 0) {
      // The lowest part, then the lowest bin, that weighs something and has less than the limit
      // above it.
      const Sum base = room.above, of_lane = room.parts[lane];
      const Sum above_part = base + sum_above(of_lane);
      const unsigned parts = __ballot_sync(0xffffffffu, of_lane > 0 && above_part < limit);
      const int found = max(0, __ffs(static_cast<int>(parts)) - 1);
      const Sum* const two = room.bins + found * kBinsOfWarp + 2 * lane;
      const Sum low = two[0], high = two[1];
      const Sum above_high = __shfl_sync(0xffffffffu, above_part, found) + sum_above(low + high);
      const Sum above_low = above_high + high;
      const bool is_low = low > 0 && above_low < limit;
      const bool is_high = high > 0 && above_high < limit;
      const unsigned lanes = __ballot_sync(0xffffffffu, is_low || is_high);
      if (lane == __ffs(static_cast<int>(lanes)) - 1) {
        const int bin = found * kBinsOfWarp + 2 * lane + (is_low ? 0 : 1);
        room.above = is_low ? above_low : above_high;
        room.prefix = span.prefix | static_cast<uint32_t>(bin) << shift;
      }
    }
    __syncthreads();
    span.bits = shift;
  }
  return room.prefix;
}

}  // namespace strake::cuda
