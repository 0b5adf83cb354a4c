// Root-mean-square normalization (arXiv:1910.07467).
#pragma once

#include <string>
#include <utility>

#include "strake/nn/context.h"

namespace strake {

// Every rank holds the whole weight.
class RmsNorm {
 public:
  RmsNorm(Tensor weight, float eps) : weight_(std::move(weight)), eps_(eps) {}

  // x float32 [rows, width] -> bfloat16 [rows, width].
  Tensor forward(Context& context, const Tensor& x) const {
    return context.backend.rms_norm(x, weight_, eps_);
  }
  std::string describe() const;  // "RMSNorm(256, eps=1e-05)"

 private:
  Tensor weight_;
  float eps_;
};

}  // namespace strake
