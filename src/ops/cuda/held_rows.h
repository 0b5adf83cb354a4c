// Rows of divided tables and stacks, found by ids that the host does not know.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "strake/ops/position.h"

namespace strake::cuda {

// Who holds what; both arrays are in device memory.
struct HeldTable {
  const HeldRows* held;
  int count;
};

// out[i] = the row of ids[i] in `part`; `otherwise` where another part holds it.
struct OwnRows {
  const int32_t* ids;
  int64_t count;
  HeldTable table;
  int64_t part;
  int32_t otherwise;
  int32_t* out;
};
void own_rows(const OwnRows& rows, cudaStream_t stream);

// out[i] = pieces[part that holds ids[i]][i], rows of `width`.
struct PickedRows {
  const float* pieces;  // [parts, count, width]
  const int32_t* ids;
  int64_t count;
  int64_t width;
  HeldTable table;
  float* out;
};
void pick_rows(const PickedRows& rows, cudaStream_t stream);

// out [rows, experts] = weights [rows, chosen] at the experts that they belong to, else 0.
struct SpreadWeights {
  const int32_t* experts;  // [rows, chosen]
  const float* weights;
  int64_t rows;
  int64_t chosen;
  int64_t all;  // experts
  float* out;
};
void spread_weights(const SpreadWeights& spread, cudaStream_t stream);

}  // namespace strake::cuda
