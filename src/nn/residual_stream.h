// What a decoder's layers add to.
#pragma once

#include <optional>
#include <utility>

#include "strake/nn/rms_norm.h"

namespace strake {

// What is added last waits for the next norm: a device does both at once.
class ResidualStream {
 public:
  // x float32 [rows, hidden].
  explicit ResidualStream(Tensor x) : sum_(std::move(x)) {}

  // y float32 [rows, hidden].
  void add(Context& context, Tensor y) {
    sum(context);
    added_.emplace(std::move(y));
  }
  const Tensor& sum(Context& context) {
    if (added_) sum_ = context.backend.add(sum_, *added_);
    added_.reset();
    return sum_;
  }
  // The norm of the sum: [rows, hidden] of the context's activations.
  Tensor normed(Context& context, const RmsNorm& norm) {
    if (!added_) return norm.forward(context, sum_);
    NormedSum both = norm.forward_sum(context, sum_, *added_);
    sum_ = std::move(both.sum);
    added_.reset();
    return std::move(both.normed);
  }

 private:
  Tensor sum_;
  std::optional<Tensor> added_;
};

}  // namespace strake
