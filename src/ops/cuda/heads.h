// What happens to the heads of a layer's queries, keys and values before attention: they turn by
// their positions, and go to the cache.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "ops/cuda/cache.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

enum class TurnedPairs { kHalves, kAdjacent };

// See RopeTable. Without pairs, nothing turns.
struct Rope {
  const float* frequencies = nullptr;  // [pairs]
  int64_t pairs = 0;
  TurnedPairs which = TurnedPairs::kHalves;
  float magnitude = 1.0f;
};

// Heads [rows, heads, width], strides in elements.
struct Heads {
  void* data;
  int64_t heads;
  int64_t width;
  int64_t row_stride;
  int64_t head_stride;
};

enum class HeadsTo { kRows, kKeys, kValues };

// Heads, how they turn, and where they go: to rows like these, or to columns of the cache's rows.
struct HeadJob {
  Heads from;
  Rope rope;
  HeadsTo target = HeadsTo::kRows;
  Heads to = {};             // of kRows; may be `from`
  int64_t cache_width = 0;   // of a row of the cache
  int64_t cache_column = 0;  // the first that is written
};

// Up to three jobs at once: queries, keys and values. Heads come as float32 or as `dtype`, are
// rounded to `dtype`, turn, and are rounded again.
struct HeadJobs {
  static constexpr int kMost = 3;
  HeadJob jobs[kMost];
  int count = 0;
  const CachedSequence* caches = nullptr;  // [sequences]
};
void place_heads(const HeadJobs& jobs, const TokenRows& rows, DType from, DType dtype,
                 cudaStream_t stream);

// Rows of `dtype` to a cache of codes, encoded as MLX does (Encoder::kMlx). `target` is kKeys or
// kValues.
struct CodedStore {
  Heads from;
  DType dtype;
  HeadsTo target;
  CodeFormat format;
  const CachedSequence* caches;
};
void store_coded(const CodedStore& store, const TokenRows& rows, cudaStream_t stream);

}  // namespace strake::cuda
