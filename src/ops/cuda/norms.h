// Norms of rows, and what comes before them. See include/strake/ops/backend.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "ops/cuda/sum_steps.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

// What is normed: rows float32 [rows, width]. A row's sums depend on its width alone.
struct NormRows {
  const float* rows;
  int64_t count;
  int64_t width;
  // For rms_norm, which then norms rows + added and writes that to `sum`, too: the residual stream
  // after a layer.
  const float* added = nullptr;  // [rows, width]
  float* sum = nullptr;          // [rows, width]; may be `rows`
};

struct NormWeight {
  const void* weight;  // [width]
  DType dtype;
  const void* bias = nullptr;  // [width], of layer_norm
  DType bias_dtype = DType::kF32;
  float eps = 0;
};

struct NormOut {
  void* data;  // [rows, width]
  DType dtype;
};

void rms_norm(const NormRows& x, const NormWeight& norm, const NormOut& out, cudaStream_t stream);
void layer_norm(const NormRows& x, const NormWeight& norm, const NormOut& out, cudaStream_t stream);

// out float32 [count]: the sum of each row's squares.
void sum_squares(const NormRows& x, float* out, cudaStream_t stream);

// Sums of squares of all parts of a row, float32 [rows, parts].
struct SquareSums {
  const float* sums;
  int64_t parts;
  int64_t width;  // of all parts together
};
void rms_norm_part(const NormRows& x, const SquareSums& squares, const NormWeight& norm,
                   const NormOut& out, cudaStream_t stream);

// out [elements] = the sum of pieces [nodes, elements] along the steps.
void finish_sums(const float* pieces, const SumSteps& steps, int64_t elements, float* out,
                 cudaStream_t stream);

}  // namespace strake::cuda
