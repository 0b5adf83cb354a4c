// From a checkpoint's row-major arrays to fragment order (weight_layout.h), on the device.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "ops/cuda/weight_layout.h"
#include "strake/quant/format.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

// What a checkpoint's format becomes; `scales` is what its scales are stored as.
PackedFormat packed_format(Format format, DType scales);
inline constexpr PackedFormat kPackedDense = {Coding::kDense, Scaling::kNone, kTileInputs};

// Rows of one matrix, or of a stack whose matrices all have whole row tiles, as the checkpoint has
// them: device memory, each row one stream of codes.
struct PackSource {
  const void* codes;   // [rows, words of a row], or dense 16-bit [rows, inputs]
  const void* scales;  // [rows, groups of a row], none for dense
  const void* biases;  // as the scales; affine only
  int64_t rows;
  // Of `rows`, those that one matrix has: each begins a row tile. All, for a part of a matrix.
  int64_t matrix_rows;
};

struct PackTarget {
  void* codes;                 // of shape.code_bytes() a matrix
  void* scales;                // of shape.scale_bytes() a matrix
  int32_t first_row_tile = 0;  // where a part of a matrix begins
};

// `shape` is that of a whole matrix. Writes every byte of the row tiles that it touches.
void pack(const PackedShape& shape, const PackSource& from, const PackTarget& to,
          cudaStream_t stream);

}  // namespace strake::cuda
