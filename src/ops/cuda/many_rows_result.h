// Where the sums of a product with many rows go: from a warp's accumulators to rows of outputs.
#pragma once

#include "ops/cuda/elements.h"
#include "ops/cuda/many_rows_parameters.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {

// Sums of outputs row + lane / 4 (x, y) and 8 further (z, w), of tokens token + 2 (lane % 4) (x, z)
// and the next (y, w): a warp's 16 outputs and 8 tokens, as an accumulator of mma has them.
// All lanes of the warp call it together.
class ManyRowsResult {
 public:
  __device__ explicit ManyRowsResult(const ManyRowsParameters& p) : p_(p) {}

  __device__ void write(int row, int token, int lane, float4 sums) const {
    if (p_.type == DType::kF32)
      write_floats(row + lane / 4, token + 2 * (lane % 4), sums);
    else if (p_.type == DType::kBF16)
      write_halves<__nv_bfloat16>(row, token, lane, sums);
    else
      write_halves<__half>(row, token, lane, sums);
  }

 private:
  __device__ void write_floats(int row, int token, float4 sums) const {
    float* const at = static_cast<float*>(p_.out) + static_cast<int64_t>(token) * p_.outputs + row;
    const bool first = row < p_.outputs;
    const bool second = row + 8 < p_.outputs;
    if (token < p_.tokens) {
      if (first) at[0] = sums.x;
      if (second) at[8] = sums.z;
    }
    if (token + 1 < p_.tokens) {
      if (first) at[p_.outputs] = sums.y;
      if (second) at[p_.outputs + 8] = sums.w;
    }
  }

  // Transposed in the warp, so that each lane has two neighbouring outputs of one token.
  template <class T>
  __device__ void write_halves(int row, int token, int lane, float4 sums) const {
    const uint32_t pairs[] = {transpose(pack<T>(sums.x, sums.y)),
                              transpose(pack<T>(sums.z, sums.w))};
    token += lane / 4;
    row += 2 * (lane % 4);
    if (token >= p_.tokens) return;
    T* const at = static_cast<T*>(p_.out) + static_cast<int64_t>(token) * p_.outputs + row;
    const bool is_even = p_.outputs % 2 == 0;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int left = p_.outputs - row - 8 * half;
      if (is_even) {
        if (left > 0) *reinterpret_cast<uint32_t*>(at + 8 * half) = pairs[half];
        continue;
      }
      auto* const elements = reinterpret_cast<uint16_t*>(at + 8 * half);
      if (left > 0) elements[0] = static_cast<uint16_t>(pairs[half]);
      if (left > 1) elements[1] = static_cast<uint16_t>(pairs[half] >> 16);
    }
  }

  const ManyRowsParameters& p_;
};

}  // namespace strake::cuda
