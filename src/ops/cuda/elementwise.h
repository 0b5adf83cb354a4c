// Operations on each element by itself. See include/strake/ops/backend.h for what they compute.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "strake/ops/activation.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

// Rows `stride` elements apart.
struct RowsIn {
  const void* data;
  DType dtype;
  int64_t stride;
};
struct RowsOut {
  void* data;
  DType dtype;
  int64_t stride;
};
struct Extent2 {
  int64_t rows;
  int64_t columns;
};

// out = gate and up, first rounded to out's dtype, activated.
void gated(const RowsIn& gate, const RowsIn& up, const RowsOut& out, Extent2 extent,
           Activation activation, cudaStream_t stream);
// out = x, of another dtype.
void cast(const RowsIn& x, const RowsOut& out, Extent2 extent, cudaStream_t stream);
// out = x + y, float32. `y` may be one row, with a stride of 0.
void add(const RowsIn& x, const RowsIn& y, const RowsOut& out, Extent2 extent, cudaStream_t stream);
// out = x * factor, float32.
void scale(const RowsIn& x, float factor, const RowsOut& out, Extent2 extent, cudaStream_t stream);

// Rows of bytes from one array to another: slices and joins of columns.
struct RowCopy {
  const void* from;
  int64_t from_stride;  // bytes
  void* to;
  int64_t to_stride;
  int64_t row_bytes;
  int64_t rows;
};
void copy_rows(const RowCopy& copy, cudaStream_t stream);

}  // namespace strake::cuda
