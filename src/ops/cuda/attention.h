// Causal softmax attention over caches. See include/strake/ops/backend.h for what it computes.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "ops/cuda/cache.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

// What the host knows, and a graph keeps. Query heads are in order of the key-value heads that
// they read.
struct AttentionShape {
  DType dtype;                                // of queries, results and what the cache stands for
  std::optional<CodeFormat> key_format = {};  // of caches of codes
  std::optional<CodeFormat> value_format = {};
  int64_t heads;  // of the queries
  int64_t cached_heads;
  int64_t largest_group;  // the most query heads that read one cached head
  int64_t width;          // of queries and keys
  int64_t value_width;    // that counts, of
  int64_t value_stride;   // elements of a row of values
  int64_t positions;      // the most that a sequence will have
  int64_t window = 0;     // positions that a query sees, up to its own; 0: all
  int64_t selected = 0;   // positions selected for each query; 0: all
};

// Of caches, rows before a call's first token are read before the kernel before has ended. They
// were stored by another launch than the rows of the call's own tokens, as steps do.
struct AttentionOperands {
  const void* q;                         // [rows, heads, width]
  const CachedSequence* caches;          // [sequences]
  const int32_t* first_query = nullptr;  // [cached_heads + 1]: the first query head of each;
                                         // null: equal groups
  float scale;                           // of the scores
  const float* sinks = nullptr;          // [heads]
  const int32_t* selected = nullptr;     // [rows, shape.selected], ascending, then -1
  const float* row_scales = nullptr;     // [rows], a factor more on the scores
  void* out;                             // [rows, heads, value_width]
  void* workspace;                       // attention_workspace() bytes
};

// Bytes of device memory that attention() of `tokens` of each of `sequences` works in.
size_t attention_workspace(const AttentionShape& shape, int64_t tokens, int64_t sequences);

// Few tokens of a sequence divide the cache into chunks of absolute positions, many go through it
// block by block. Either way a row's bits depend on what it sees alone: not on other rows, other
// sequences, the cache's capacity or the number of processors.
void attention(const AttentionShape& shape, const AttentionOperands& operands,
               const TokenRows& rows, cudaStream_t stream);

}  // namespace strake::cuda
