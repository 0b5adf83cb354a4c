// Rows of activations that go to experts, and come back.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace strake::cuda {

// to[i] = from[rows[i]]: rows of `row_bytes`, whole words of 2. Indices are in device memory.
struct RowsTaken {
  const void* from;
  const int32_t* rows;
  void* to;
  int64_t row_bytes;
  int64_t count;
};
void take_rows(const RowsTaken& rows, cudaStream_t stream);

// to[leaf][tokens[i]] += factors[i] * from[leaf][i]: no token is there twice.
struct RowsMixed {
  const float* from;  // [leaves, count, width]
  const int32_t* tokens;
  const float* factors;
  float* to;  // [leaves, to_rows, width]
  int64_t count;
  int64_t to_rows;
  int64_t width;
  int64_t leaves;
};
void mix_rows(const RowsMixed& rows, cudaStream_t stream);

}  // namespace strake::cuda
