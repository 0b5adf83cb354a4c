// The caches of sequences, as kernels find them through device memory.
#pragma once

#include <cstdint>

#include "ops/cuda/code_format.h"

namespace strake::cuda {

// Rows of one sequence, [heads, slots, width]: elements, or codes with their scales and biases.
struct CachedRows {
  void* elements;
  void* scales = nullptr;
  void* biases = nullptr;
};

// Position p stands in slot p mod slots; a sequence that is no ring has no more positions than
// slots. Values that are the first elements of the keys have the keys' addresses.
struct CachedSequence {
  CachedRows keys;
  CachedRows values;
  int64_t slots;
};

// Where rows stand: `tokens` of each sequence, one after the other, from its first position on.
struct TokenRows {
  const int32_t* first_positions;  // [sequences]
  int64_t tokens;
  int64_t sequences;

  __host__ __device__ int64_t count() const { return tokens * sequences; }
};

}  // namespace strake::cuda
