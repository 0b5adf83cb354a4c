#include "ops/cuda/token_state.h"

#include "base/hash.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/reduce.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocks = 64;

__global__ void hash_kernel(const float* logits, int64_t vocabulary, TokenState* state) {
  __shared__ unsigned long long room[kWarp + 1];
  begin_after_predecessor();
  unsigned long long sum = 0;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < vocabulary;
       i += int64_t{kBlocks} * kThreads)
    sum += hash_element(static_cast<uint64_t>(i), __float_as_uint(logits[i]));
  sum = block_sum(sum, room);
  if (threadIdx.x == 0) atomicAdd(&state->row_hash, sum);
}

__global__ void advance_kernel(TokenState* state, const int32_t* invalid) {
  begin_after_predecessor();
  state->chosen = {state->found, *invalid, chain_hash(state->chosen.logits_hash, state->row_hash)};
  state->row_hash = 0;
  state->token = state->found < 0 ? 0 : state->found;
  ++state->position;
}

}  // namespace

void hash_logits(const LogitRows& logits, TokenState* state, cudaStream_t stream) {
  launch({"hash logits", kBlocks, kThreads, 0, stream, Order::kOverlapping}, hash_kernel,
         logits.logits, logits.vocabulary, state);
}

void advance(TokenState* state, const int32_t* invalid, cudaStream_t stream) {
  launch({"advance", 1, 1, 0, stream, Order::kOverlapping}, advance_kernel, state, invalid);
}

}  // namespace strake::cuda
