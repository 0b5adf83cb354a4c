// Layers that have the same input.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include "strake/nn/linear.h"

namespace strake {

// One of them, and the dtype of its output.
struct Projection {
  const Linear& layer;
  DType dtype;
};

// What forward() makes of each, with the same bits, in one go where the backend can. No layer's
// inputs are divided.
template <size_t kCount>
std::array<Tensor, kCount> project(Context& context, const Tensor& x,
                                   const Projection (&projections)[kCount]) {
  const auto each = [&]<size_t... kIndex>(std::index_sequence<kIndex...>) {
    JointProduct products[] = {projections[kIndex].layer.product(projections[kIndex].dtype)...};
    context.backend.matmul_each(x, products, projections[0].layer.product_tree());
    return std::array<Tensor, kCount>{
        projections[kIndex].layer.finish(context, products[kIndex], projections[kIndex].dtype)...};
  };
  return each(std::make_index_sequence<kCount>());
}

}  // namespace strake
