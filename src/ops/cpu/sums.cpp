// Sums that ranks finish together, and residual sums.
#include <algorithm>
#include <vector>

#include "ops/cpu/cpu_backend.h"

namespace strake::cpu {
namespace {

constexpr int64_t kBlock = 1024;  // elements that stay in the first-level cache

// The pieces by node index, or null for nodes that were not sent.
using Pieces = std::vector<const float*>;

// out[0..count) = the sum of the node, from the pieces at `offset`.
void finish(const SumTree& tree, int index, const Pieces& pieces, int64_t offset,
            std::span<float> out) {
  if (const float* piece = pieces[static_cast<size_t>(index)]; piece != nullptr) {
    std::copy_n(piece + offset, out.size(), out.data());
    return;
  }
  const SumTree::Node& node = tree.node(index);
  float right[kBlock];
  finish(tree, node.left, pieces, offset, out);
  finish(tree, node.right, pieces, offset, std::span(right).first(out.size()));
  for (size_t i = 0; i < out.size(); ++i) out[i] += right[i];
}

}  // namespace

Tensor CpuBackend::do_finish_sums(const Tensor& pieces, const PartialSums& sums) {
  const auto extents = pieces.shape().extents();
  Tensor result =
      Tensor::empty(DType::kF32, Shape(std::vector<int64_t>(extents.begin() + 1, extents.end())));
  const int64_t elements = result.elements();
  Pieces by_node(sums.tree.nodes().size(), nullptr);
  for (size_t i = 0; i < sums.nodes.size(); ++i)
    by_node[static_cast<size_t>(sums.nodes[i])] =
        pieces.data<float>().data() + static_cast<int64_t>(i) * elements;
  const auto out = result.mutable_data<float>();
  pool_.for_ranges((elements + kBlock - 1) / kBlock, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t offset = block * kBlock;
      finish(sums.tree, 0, by_node, offset,
             out.subspan(static_cast<size_t>(offset),
                         static_cast<size_t>(std::min(kBlock, elements - offset))));
    }
  });
  return result;
}

Tensor CpuBackend::do_add(const Tensor& x, const Tensor& y) {
  Tensor result = Tensor::empty(DType::kF32, x.shape());
  const auto a = x.data<float>();
  const auto b = y.data<float>();
  const auto out = result.mutable_data<float>();
  for (size_t i = 0; i < a.size(); i += b.size())
    for (size_t j = 0; j < b.size(); ++j) out[i + j] = a[i + j] + b[j];
  return result;
}

}  // namespace strake::cpu
