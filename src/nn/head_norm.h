// Root-mean-square norms of the heads that a rank has.
#pragma once

#include <optional>
#include <string_view>

#include "nn/layer_loader.h"

namespace strake {

// What a norm divides by: the mean over each head by itself, or over all heads of the model.
enum class NormSpan { kHead, kAllHeads };

// Norms of each head's queries and keys, before they turn: q_norm and k_norm.
struct HeadNorms {
  float eps;
  NormWeight weight = NormWeight::kFactor;
  NormSpan span = NormSpan::kHead;
};

// The mean over all heads has the same bits for every number of ranks: each head's sum of squares
// goes to every rank, and all add them up in order.
class HeadNorm {
 public:
  // `heads` are those of the ranks.
  HeadNorm(LayerLoader& load, std::string_view name, const HeadNorms& norms, const Partition& heads,
           int64_t head_dim);

  // x float32 [rows, heads * head_dim] -> [rows, heads * head_dim] of the context's activations.
  Tensor forward(Context& context, const Tensor& x) const;

 private:
  int64_t head_dim_;
  float eps_;
  std::optional<RmsNorm> each_;     // of every head alike
  std::optional<Tensor> all_;       // [heads * head_dim] of this rank
  std::optional<Partition> heads_;  // where the mean is over all
};

}  // namespace strake
