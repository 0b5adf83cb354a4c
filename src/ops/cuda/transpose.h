// Matrices turned over.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "strake/tensor/dtype.h"

namespace strake::cuda {

// from [count, rows, columns] -> to [count, columns, rows].
struct Turned {
  const void* from;
  DType from_dtype;
  void* to;
  DType to_dtype;
  int64_t count;
  int64_t rows;
  int64_t columns;
};
void transpose(const Turned& matrices, cudaStream_t stream);

}  // namespace strake::cuda
