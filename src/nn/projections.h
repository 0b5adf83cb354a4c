// Layers that have the same input.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include "base/recycled.h"
#include "strake/nn/linear.h"

namespace strake {

// One of them, and the dtype of its output.
struct Projection {
  const Linear& layer;
  DType dtype;
};

// What forward() makes of each, with the same bits, in one go where the backend can. No layer's
// inputs are divided.
inline Recycled<Tensor> project(Context& context, const Tensor& x,
                                std::span<const Projection> projections) {
  Recycled<JointProduct> products;
  for (const Projection& each : projections) products.push_back(each.layer.product(each.dtype));
  context.backend.matmul_each(x, products, projections.front().layer.product_tree());
  Recycled<Tensor> results;
  for (size_t i = 0; i < products.size(); ++i)
    results.push_back(projections[i].layer.finish(context, products[i], projections[i].dtype));
  return results;
}
template <size_t kCount>
std::array<Tensor, kCount> project(Context& context, const Tensor& x,
                                   const Projection (&projections)[kCount]) {
  const auto results = project(context, x, std::span<const Projection>(projections));
  return [&]<size_t... kIndex>(std::index_sequence<kIndex...>) {
    return std::array<Tensor, kCount>{results[kIndex]...};
  }
  (std::make_index_sequence<kCount>());
}

}  // namespace strake
