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

  // x float32 [rows, width] -> [rows, width] of the context's activations.
  Tensor forward(Context& context, const Tensor& x) const {
    return forward(context, x, context.activations);
  }
  // Of another dtype: for what does not enter a product.
  Tensor forward(Context& context, const Tensor& x, DType dtype) const {
    return context.backend.rms_norm(x, weight_, eps_, dtype);
  }
  // x + y, float32 [rows, width], and what forward() makes of that.
  NormedSum forward_sum(Context& context, const Tensor& x, const Tensor& y) const {
    return context.backend.add_rms_norm(x, y, {weight_, eps_}, context.activations);
  }
  // For operations that norm rows on their way.
  RowNorm of_rows() const { return {weight_, nullptr, eps_}; }
  std::string describe() const;  // "RMSNorm(256, eps=1e-05)"

 private:
  Tensor weight_;
  float eps_;
};

}  // namespace strake
