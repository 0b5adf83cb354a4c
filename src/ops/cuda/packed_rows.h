// Rows of a weight in fragment order, decoded.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "ops/cuda/few_rows.h"

namespace strake::cuda {

// out float32 [count, K] = rows `ids` of a matrix; ids are in device memory and not checked.
void packed_rows(const PackedWeight& weight, const int32_t* ids, int64_t count, float* out,
                 cudaStream_t stream);

}  // namespace strake::cuda
