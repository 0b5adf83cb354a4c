// How a block norms a row. For device code.
#pragma once

#include <cstdint>

#include "ops/cuda/ptx.h"
#include "ops/cuda/reduce.h"

namespace strake::cuda {

// With 32 registers a thread a block has room beside one of a product with few rows, of 512 threads
// with up to 112, and so is there when that one ends.
inline constexpr int kMostNormThreads = 256;
inline constexpr int kLeastNormBlocks = 8;  // of a multiprocessor: 32 registers a thread
inline constexpr int kMostNormWarps = kMostNormThreads / kWarp;

// Threads that sum a row of rms_norm(): the width alone decides.
__host__ __device__ inline int rms_norm_threads(int64_t width) {
  int threads = kWarp;
  while (threads < kMostNormThreads && threads * 8 < width) threads *= 2;
  return threads;
}

// The sum over the block's first `threads` threads, for all. `room` [kMostNormWarps] is this
// call's.
__device__ inline float row_sum(float own, int threads, float* room) {
  own = warp_sum(own);
  if (threadIdx.x % kWarp == 0) room[threadIdx.x / kWarp] = own;
  __syncthreads();
  const int warps = threads / kWarp;
  float sum = room[0];
#pragma unroll
  for (int i = 1; i < kMostNormWarps; ++i)
    if (i < warps) sum += room[i];
  return sum;
}

// A value of layer_norm(). The last product is not rounded, whatever the weight's dtype: by itself
// the compiler decides that for each.
__device__ inline float layer_normed(float distance, float factor, float weight, float bias) {
  return fmaf(distance * factor, weight, bias);
}

// Each thread brings every blockDim.x-th 16 bytes.
__device__ inline void bring(void* to, const void* from, int bytes) {
  const auto step = static_cast<int>(blockDim.x) * 16;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x) * 16; i < bytes; i += step)
    copy_async(static_cast<uint8_t*>(to) + i, static_cast<const uint8_t*>(from) + i, 16);
}

}  // namespace strake::cuda
