// Products with dense and quantized weights: a row of the weight is decoded once and multiplied
// with every row of x.
#include <algorithm>
#include <vector>

#include "ops/cpu/cpu_backend.h"
#include "ops/cpu/lanes.h"
#include "ops/cpu/weight_rows.h"

namespace strake::cpu {
namespace {

// One node's sum of x * w; both start at the node `origin` elements into the contraction axis.
float node_sum(const SumTree& tree, int index, const float* x, const float* w) {
  const SumTree::Node& node = tree.node(index);
  if (node.left < 0) return dot(x, w, node.end - node.begin);
  const int64_t split = tree.node(node.right).begin - node.begin;
  return node_sum(tree, node.left, x, w) + node_sum(tree, node.right, x + split, w + split);
}

// sums[i] for each of the nodes, whose elements follow each other in x and w.
void node_sums(const PartialSums& sums, const float* x, const float* w, float* out,
               int64_t out_stride) {
  for (const int index : sums.nodes) {
    *out = node_sum(sums.tree, index, x, w);
    const SumTree::Node& node = sums.tree.node(index);
    x += node.end - node.begin;
    w += node.end - node.begin;
    out += out_stride;
  }
}

std::vector<float> widened(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.elements()));
  widen(tensor, values.data());
  return values;
}

}  // namespace

Tensor CpuBackend::do_matmul(const Tensor& x, const Weight& w, const PartialSums& sums) {
  const int64_t rows = x.shape()[0];
  const int64_t in = x.shape()[1];
  const int64_t out = w.shape()[0];
  Tensor y = Tensor::empty(DType::kF32, {static_cast<int64_t>(sums.nodes.size()), rows, out});
  if (y.elements() == 0) return y;
  const std::vector<float> activations = widened(x);
  const RowDecoder decode = row_decoder(w);
  float* const result = y.mutable_data<float>().data();
  pool_.for_ranges(out, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(in));
    for (int64_t n = begin; n < end; ++n) {
      decode(n, row.data());
      for (int64_t m = 0; m < rows; ++m)
        node_sums(sums, activations.data() + m * in, row.data(), result + m * out + n, rows * out);
    }
  });
  return y;
}

Tensor CpuBackend::do_gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                                    const PartialSums& sums) {
  const auto rows = static_cast<int64_t>(indices.lhs.size());
  const int64_t in = x.shape()[1];
  const int64_t out = w.shape()[1];
  Tensor y = Tensor::empty(DType::kF32, {static_cast<int64_t>(sums.nodes.size()), rows, out});
  if (y.elements() == 0) return y;
  // Results that use the same expert stand together, so that its rows are decoded once.
  std::vector<int64_t> order(static_cast<size_t>(rows));
  for (int64_t i = 0; i < rows; ++i) order[static_cast<size_t>(i)] = i;
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return indices.rhs[static_cast<size_t>(a)] < indices.rhs[static_cast<size_t>(b)];
  });
  const std::vector<float> activations = widened(x);
  const RowDecoder decode = row_decoder(w);
  float* const result = y.mutable_data<float>().data();
  pool_.for_ranges(out, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(in));
    for (int64_t n = begin; n < end; ++n) {
      int32_t decoded = -1;
      for (const int64_t i : order) {
        const int32_t expert = indices.rhs[static_cast<size_t>(i)];
        if (expert != decoded) decode(expert * out + n, row.data());
        decoded = expert;
        const int64_t m = indices.lhs[static_cast<size_t>(i)];
        node_sums(sums, activations.data() + m * in, row.data(), result + i * out + n, rows * out);
      }
    }
  });
  return y;
}

Tensor CpuBackend::do_embedding(const Weight& w, std::span<const int32_t> ids) {
  const int64_t width = w.shape()[1];
  Tensor y = Tensor::empty(DType::kF32, {static_cast<int64_t>(ids.size()), width});
  if (y.elements() == 0) return y;
  const RowDecoder decode = row_decoder(w);
  float* const result = y.mutable_data<float>().data();
  for (size_t i = 0; i < ids.size(); ++i) decode(ids[i], result + static_cast<int64_t>(i) * width);
  return y;
}

}  // namespace strake::cpu
