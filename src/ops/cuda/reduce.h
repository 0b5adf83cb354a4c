// Sums and maxima over a warp or a block, in an order that the block's size alone decides.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace strake::cuda {

inline constexpr int kWarp = 32;

template <class T>
__device__ inline T warp_sum(T x) {
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask /= 2) x += __shfl_xor_sync(0xffffffffu, x, mask);
  return x;
}

template <class T>
__device__ inline T warp_max(T x) {
#pragma unroll
  for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const T other = __shfl_xor_sync(0xffffffffu, x, mask);
    x = other > x ? other : x;
  }
  return x;
}

// Every thread of a block of whole warps gets the same result. `room` [33] is the block's.
template <class T, class Fold>
__device__ inline T block_fold(T x, T* room, const Fold& fold) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int warps = blockDim.x / kWarp;
  x = fold(x);
  __syncthreads();  // what was there has been read
  if (lane == 0) room[warp] = x;
  __syncthreads();
  if (warp == 0) {
    // In order of the warps.
    T all = room[0];
    for (int i = 1; i < warps; ++i) all = fold(all, room[i]);
    if (lane == 0) room[kWarp] = all;
  }
  __syncthreads();
  return room[kWarp];
}

struct FoldSum {
  template <class T>
  __device__ T operator()(T x) const {
    return warp_sum(x);
  }
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct FoldMax {
  template <class T>
  __device__ T operator()(T x) const {
    return warp_max(x);
  }
  template <class T>
  __device__ T operator()(T a, T b) const {
    return b > a ? b : a;
  }
};

template <class T>
__device__ inline T block_sum(T x, T* room) {
  return block_fold(x, room, FoldSum());
}
template <class T>
__device__ inline T block_max(T x, T* room) {
  return block_fold(x, room, FoldMax());
}

}  // namespace strake::cuda
