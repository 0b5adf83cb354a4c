// Floating elements as the device has them, and the one place where a DType becomes their type.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "strake/base/error.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
__device__ inline T from_float(float x) {
  if constexpr (std::is_same_v<T, __half>)
    return __float2half_rn(x);
  else if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return __float2bfloat16_rn(x);
  else
    return x;
}

// float32 rounded to T, still as float32.
template <class T>
__device__ inline float rounded(float x) {
  return to_float(from_float<T>(x));
}

// Two elements of a 16-bit type, the first in the low half.
template <class T>
__device__ inline uint32_t pack(float first, float second) {
  static_assert(sizeof(T) == 2);
  uint32_t bits;
  if constexpr (std::is_same_v<T, __half>) {
    const __half2 pair = __floats2half2_rn(first, second);
    memcpy(&bits, &pair, sizeof bits);
  } else {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
    memcpy(&bits, &pair, sizeof bits);
  }
  return bits;
}

// Calls visitor(T()) for the device's type of a floating dtype. Throws Error(kInternal) for others.
template <class Visitor>
decltype(auto) visit_floating(DType dtype, Visitor&& visitor) {
  if (dtype == DType::kF32) return visitor(float());
  if (dtype == DType::kF16) return visitor(__half());
  if (dtype == DType::kBF16) return visitor(__nv_bfloat16());
  throw Error(ErrorKind::kInternal, "cuda: a floating dtype expected");
}

}  // namespace strake::cuda
