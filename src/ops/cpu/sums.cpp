// Sums that ranks finish together, and residual sums.
#include <algorithm>

#include "base/recycled.h"
#include "ops/cpu/cpu_backend.h"
#include "ops/cpu/lane_kernels.h"

namespace strake::cpu {
namespace {

constexpr int64_t kBlock = 1024;  // elements that stay in the first-level cache

// The pieces by node index, or null for nodes that were not sent.
using Pieces = Recycled<const float*>;

struct Sums {
  const SumTree& tree;
  const Pieces& pieces;
  const LaneKernels& kernels;

  // out[0..count) = the sum of the node, from the pieces at `offset`.
  void finish(int index, int64_t offset, std::span<float> out) const {
    if (const float* piece = pieces[static_cast<size_t>(index)]; piece != nullptr) {
      std::copy_n(piece + offset, out.size(), out.data());
      return;
    }
    const SumTree::Node& node = tree.node(index);
    float right[kBlock];
    finish(node.left, offset, out);
    finish(node.right, offset, std::span(right).first(out.size()));
    kernels.add(out.data(), right, std::ssize(out), out.data());
  }
};

}  // namespace

Tensor CpuBackend::do_finish_sums(const Tensor& pieces, const PartialSums& sums) {
  const auto extents = pieces.shape().extents();
  Tensor result = Tensor::empty(DType::kF32, Shape(extents.subspan(1)));
  const int64_t elements = result.elements();
  Pieces by_node(sums.tree.nodes().size(), nullptr);
  for (size_t i = 0; i < sums.nodes.size(); ++i)
    by_node[static_cast<size_t>(sums.nodes[i])] =
        pieces.data<float>().data() + static_cast<int64_t>(i) * elements;
  const Sums work{sums.tree, by_node, lane_kernels(path_)};
  const auto out = result.mutable_data<float>();
  pool_.for_ranges((elements + kBlock - 1) / kBlock, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t offset = block * kBlock;
      work.finish(0, offset,
                  out.subspan(static_cast<size_t>(offset),
                              static_cast<size_t>(std::min(kBlock, elements - offset))));
    }
  });
  return result;
}

Tensor CpuBackend::do_add(const Tensor& x, const Tensor& y) {
  Tensor result = Tensor::empty(DType::kF32, x.shape());
  if (x.elements() == 0) return result;
  const LaneKernels& kernels = lane_kernels(path_);
  const float* const a = x.data<float>().data();
  const float* const b = y.data<float>().data();
  float* const out = result.mutable_data<float>().data();
  const int64_t row = y.elements();
  const int64_t rows = x.elements() / row;
  // Blocks of rows, of which small tensors have one.
  const int64_t per_block = std::max<int64_t>(1, 16 * kBlock / row);
  pool_.for_ranges((rows + per_block - 1) / per_block, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin * per_block; m < std::min(rows, end * per_block); ++m)
      kernels.add(a + m * row, b, row, out + m * row);
  });
  return result;
}

Tensor CpuBackend::do_scale(const Tensor& x, float factor) {
  Tensor result = Tensor::empty(DType::kF32, x.shape());
  const LaneKernels& kernels = lane_kernels(path_);
  const float* const in = x.data<float>().data();
  float* const out = result.mutable_data<float>().data();
  pool_.for_ranges(x.elements(), [&](int64_t begin, int64_t end) {
    kernels.scale(in + begin, factor, end - begin, out + begin);
  });
  return result;
}

}  // namespace strake::cpu
