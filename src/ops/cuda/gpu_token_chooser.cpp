#include "ops/cuda/gpu_token_chooser.h"

#include <cstddef>
#include <span>
#include <utility>

#include "base/hash.h"

namespace strake::cuda {
namespace {

const cudaStream_t kStream = cudaStreamPerThread;

constexpr auto kWord = static_cast<int64_t>(sizeof(int32_t));

Tensor word_of(const Tensor& state, size_t offset) {
  const int64_t word = static_cast<int64_t>(offset) / kWord;
  return state.slice(0, word, word + 1);
}

}  // namespace

GpuTokenChooser::GpuTokenChooser(const SamplingRule& rule, int64_t vocabulary, Tensor invalid,
                                 const std::shared_ptr<Memory>& memory)
    : rule_(rule),
      memory_(memory),
      invalid_(std::move(invalid)),
      state_(
          Tensor::empty(DType::kI32, {static_cast<int64_t>(sizeof(TokenState)) / kWord}, memory_)),
      token_(word_of(state_, offsetof(TokenState, token))),
      position_(word_of(state_, offsetof(TokenState, position))),
      workspace_(Tensor::empty(DType::kU8,
                               {static_cast<int64_t>(argmax_workspace({nullptr, 1, vocabulary}))},
                               memory_)) {}

TokenState* GpuTokenChooser::state() {
  return reinterpret_cast<TokenState*>(state_.mutable_bytes().data());
}

void GpuTokenChooser::start(int64_t position) {
  TokenState state{};
  state.chosen.logits_hash = kHashSeed;
  state.position = static_cast<int32_t>(position - 1);
  // As Random begins (engine/random.h).
  state.key = {{static_cast<uint32_t>(rule_.seed >> 32), static_cast<uint32_t>(rule_.seed)}};
  state.rule = {rule_.temperature, rule_.top_p, rule_.min_p, rule_.min_tokens, rule_.top_k};
  memory_->upload(std::as_bytes(std::span(&state, 1)), state_.mutable_bytes().data());
}

void GpuTokenChooser::choose(const Tensor& logits) {
  const LogitRows row{reinterpret_cast<const float*>(logits.bytes().data()), 1, logits.shape()[1]};
  TokenState* const state = this->state();
  hash_logits(row, state, kStream);
  if (rule_.temperature == 0) {
    argmax(row, workspace_.mutable_bytes().data(), &state->found, kStream);
  } else {
    next_uniforms(&state->key, 1, &state->uniform, kStream);
    sample(row, &state->rule, &state->uniform, &state->found, kStream);
  }
  advance(state, reinterpret_cast<const int32_t*>(invalid_.bytes().data()), kStream);
}

ChosenToken GpuTokenChooser::chosen(const Await& await) {
  ChosenToken chosen{};
  memory_->download(state_.bytes().data(), std::as_writable_bytes(std::span(&chosen, 1)), await);
  return chosen;
}

}  // namespace strake::cuda
