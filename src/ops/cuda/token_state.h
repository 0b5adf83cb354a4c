// What choosing a sequence's tokens on the device leaves from one to the next.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "ops/cuda/sampling.h"
#include "strake/ops/recording.h"

namespace strake::cuda {

// In device memory.
struct TokenState {
  ChosenToken chosen;
  int32_t token;     // to run next
  int32_t position;  // of that
  UniformKey key;
  unsigned long long row_hash;  // of the row at hand, being summed; else 0
  float uniform;
  int32_t found;
  RowRule rule;
  int32_t unused;  // whole words of 8
};

// Adds the elements of a row of logits to state->row_hash.
void hash_logits(const LogitRows& logits, TokenState* state, cudaStream_t stream);
// state->found, and what *invalid says, become what was chosen, and the token that runs next.
void advance(TokenState* state, const int32_t* invalid, cudaStream_t stream);

}  // namespace strake::cuda
