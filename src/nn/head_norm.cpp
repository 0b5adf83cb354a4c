#include "nn/head_norm.h"

#include <string>

namespace strake {

HeadNorm::HeadNorm(LayerLoader& load, std::string_view name, const HeadNorms& norms,
                   const Partition& heads, int64_t head_dim)
    : head_dim_(head_dim), eps_(norms.eps) {
  switch (norms.span) {
    case NormSpan::kHead:
      each_ = load.rms_norm(name, head_dim, norms.eps, norms.weight);
      return;
    case NormSpan::kAllHeads:
      break;
  }
  const Partition elements = heads.scaled(head_dim);
  all_ = load.placed(load.tensor(std::string(name) + ".weight", {elements.extent()}, &elements));
  heads_ = heads;
}

Tensor HeadNorm::forward(Context& context, const Tensor& x) const {
  const int64_t rows = x.shape()[0];
  const int64_t heads = x.shape()[1] / head_dim_;
  const Tensor by_head = x.reshape({rows * heads, head_dim_});
  if (each_) return each_->forward(context, by_head).reshape(x.shape());
  const Tensor own = context.backend.sum_squares(by_head).reshape({rows, heads});
  const Tensor sums = gather_columns(context, own, *heads_);
  return context.backend.rms_norm_part(x, *all_, {sums, heads_->extent() * head_dim_, eps_},
                                       context.activations);
}

}  // namespace strake
