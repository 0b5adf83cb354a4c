// Rows of a table by their indices.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <optional>

#include "ops/cuda/code_format.h"

namespace strake::cuda {

// A table [rows, width] in a checkpoint's own order: elements of `dtype`, or codes.
struct Table {
  const void* elements;
  DType dtype;
  int64_t width;
  std::optional<CodeFormat> format = {};
  const void* scales = nullptr;
  const void* biases = nullptr;
};

// out float32 [count, width] = the rows `ids`, which are in device memory and not checked.
void embedding(const Table& table, const int32_t* ids, int64_t count, float* out,
               cudaStream_t stream);

}  // namespace strake::cuda
