// Tokens chosen on the GPU.
#pragma once

#include <memory>

#include "ops/cuda/token_state.h"
#include "strake/tensor/tensor.h"

namespace strake::cuda {

class GpuTokenChooser final : public TokenChooser {
 public:
  // `invalid` int32 [1]: where routers say that a logit was not a number.
  GpuTokenChooser(const SamplingRule& rule, int64_t vocabulary, Tensor invalid,
                  const std::shared_ptr<Memory>& memory);

  const Tensor& token() const override { return token_; }
  const Tensor& position() const override { return position_; }
  void start(int64_t position) override;
  void choose(const Tensor& logits) override;
  ChosenToken chosen(const Await& await) override;

 private:
  TokenState* state();

  SamplingRule rule_;
  std::shared_ptr<Memory> memory_;
  Tensor invalid_;
  Tensor state_;      // a TokenState
  Tensor token_;      // in it
  Tensor position_;   // in it
  Tensor workspace_;  // of argmax()
};

}  // namespace strake::cuda
