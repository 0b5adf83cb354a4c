#include "nn/head_linear.h"

#include <utility>

#include "base/recycled.h"

namespace strake {

HeadLinear::HeadLinear(Weight weight)
    : weight_(std::move(weight)), tree_(SumTree::whole(weight_.shape()[2])) {}

Tensor HeadLinear::forward(Context& context, const Tensor& x, DType dtype) const {
  return context.backend.head_matmul(x, weight_, tree_, dtype);
}

Tensor HeadLinear::spread(Context& context, const Tensor& x, Range heads, DType dtype) const {
  const int64_t rows = x.shape()[0];
  Recycled<int32_t> items, matrices;
  for (int64_t head = heads.begin; head < heads.end; ++head)
    for (int64_t row = 0; row < rows; ++row) {
      items.push_back(static_cast<int32_t>(row));
      matrices.push_back(static_cast<int32_t>(head));
    }
  return context.backend.gather_matmul(x, weight_, {items, matrices}, tree_, dtype)
      .reshape({heads.size(), rows, outputs()});
}

Tensor HeadLinear::spread_turned(Context& context, const Tensor& x, Range heads,
                                 DType dtype) const {
  const HeadLinear turned(
      context.backend.prepare(context.backend.transpose(weight_, heads.begin, heads.size())));
  return turned.spread(context, x, {0, heads.size()}, dtype);
}

}  // namespace strake
