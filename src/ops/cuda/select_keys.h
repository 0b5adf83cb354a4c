// Which keys an indexer selects for each query. See Backend::select_keys.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "ops/cuda/cache.h"
#include "ops/cuda/heads.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

struct IndexShape {
  DType dtype;  // of queries and keys
  int64_t heads;
  int64_t width;
  int64_t count;      // of keys to select
  int64_t positions;  // the most that a sequence will have
};

struct IndexOperands {
  const void* q;                 // [rows, heads, width]
  const float* weights;          // [rows, heads]
  const CachedSequence* caches;  // [sequences]: their keys, one head
  int32_t* selected;             // [rows, count]: ascending, then -1 where there are fewer
  void* workspace;               // select_keys_workspace() bytes
  Rope rope = {};                // of queries, where turns_queries()
};

// Whether queries turn here; if not, they must have turned before. They have the same bits.
bool turns_queries(const IndexShape& shape, int64_t rows);
size_t select_keys_workspace(const IndexShape& shape, int64_t rows);
void select_keys(const IndexShape& shape, const IndexOperands& operands, const TokenRows& rows,
                 cudaStream_t stream);

}  // namespace strake::cuda
