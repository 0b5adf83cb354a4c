// Layer normalization (arXiv:1607.06450).
#pragma once

#include <utility>

#include "strake/nn/context.h"

namespace strake {

// Every rank holds the whole weight and bias.
class LayerNorm {
 public:
  LayerNorm(Tensor weight, Tensor bias, float eps)
      : weight_(std::move(weight)), bias_(std::move(bias)), eps_(eps) {}

  // x float32 [rows, width] -> [rows, width] of the context's activations.
  Tensor forward(Context& context, const Tensor& x) const {
    return forward(context, x, context.activations);
  }
  // Of another dtype: for what does not enter a product.
  Tensor forward(Context& context, const Tensor& x, DType dtype) const {
    return context.backend.layer_norm(x, {weight_, bias_, eps_}, dtype);
  }
  // For operations that norm rows on their way.
  RowNorm of_rows() const { return {weight_, &bias_, eps_}; }

 private:
  Tensor weight_;
  Tensor bias_;
  float eps_;
};

}  // namespace strake
