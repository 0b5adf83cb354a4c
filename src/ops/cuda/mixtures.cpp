// Sums over the experts of each token.
#include <algorithm>

#include "ops/cuda/activation_parts.h"
#include "ops/cuda/cuda_backend.h"
#include "ops/cuda/expert_rows.h"
#include "ops/cuda/few_rows_call.h"
#include "ops/cuda/leaf_steps.h"
#include "ops/cuda/norms.h"
#include "ops/cuda/operands.h"

namespace strake::cuda {
namespace {

const cudaStream_t kStream = cudaStreamPerThread;

// Each leaf below the nodes as a node of its own.
std::vector<int> leaves_below(const PartialSums& sums) {
  std::vector<int> leaves;
  std::vector<int> open(sums.nodes.rbegin(), sums.nodes.rend());
  while (!open.empty()) {
    const SumTree::Node& node = sums.tree.node(open.back());
    if (node.left < 0) leaves.push_back(open.back());
    open.pop_back();
    if (node.left >= 0) open.insert(open.end(), {node.right, node.left});
  }
  return leaves;
}

}  // namespace

Tensor CudaBackend::do_mix_matmul(const Tensor& x, const Weight& w, const Mixture& mixture,
                                  const PartialSums& sums) {
  const GpuWeight& weight = as_gpu_weight(w);
  // The number of tokens alone decides: it is the same for every number of GPUs.
  const bool few = mixture.count <= kFewTokens && x.dtype() == DType::kBF16 &&
                   weight.rows() == nullptr && std::ssize(mixture.experts) <= ExpertRows::kMost;
  if (!few) return mix_by_matrix(x, weight, mixture, sums);
  const Tensor matrix = upload(mixture.experts), token = upload(mixture.tokens),
               factor = upload(mixture.weights);
  ExpertRows rows;
  rows.rows = static_cast<int>(std::ssize(mixture.experts));
  rows.matrix = integers(matrix);
  rows.token = integers(token);
  rows.factor = floats(factor);
  rows.tokens = static_cast<int>(mixture.count);
  return mix_few(x, weight, rows, {mixture.axis, sums});
}

Tensor CudaBackend::mix_few(const Tensor& x, const GpuWeight& w, const ExpertRows& rows,
                            const AxisSums& axis_sums) {
  const bool by_input = axis_sums.axis == Mixture::Axis::kInputs;
  const PartialSums& sums = axis_sums.sums;
  const PartialSums order = w.is_divided() ? sums : w.sums();
  const int64_t tokens = rows.tokens, outputs = w.shape()[1];
  const Leaves groups = by_input ? Leaves{} : leaves_of(sums);
  const int64_t group_count = by_input ? 1 : groups.count;
  const int64_t nodes = by_input ? nodes_of(sums) : 1;
  Tensor result = x.beside(DType::kF32, {group_count * nodes, tokens, outputs});
  if (result.elements() == 0) return result;
  if (rows.rows == 0 || w.matrices() == 0)
    return Tensor::zeros(DType::kF32, {nodes_of(sums), tokens, outputs}, memory_);
  FewRowsCall call = few_rows_call(x, w, order);
  call.out = floats(result);
  call.experts = rows;
  ExpertRows& experts = call.experts;
  experts.matrices = static_cast<int>(w.matrices());
  experts.groups = static_cast<int>(group_count);
  experts.group_cuts[1] = experts.matrices;
  if (!by_input) std::copy_n(groups.cuts, groups.count + 1, experts.group_cuts);
  run(call);
  if (by_input) return result;
  // Groups combine along the tree of the experts.
  return combine_leaves(result, sums);
}

// [leaves, tokens, outputs] of the leaves below the nodes -> [nodes, tokens, outputs].
Tensor CudaBackend::combine_leaves(const Tensor& leaves, const PartialSums& sums) {
  const int64_t elements = leaves.elements() / leaves.shape()[0];
  Tensor result = leaves.beside(DType::kF32, leaves.shape().with(0, nodes_of(sums)));
  int first = 0;
  for (int64_t node = 0; node < nodes_of(sums); ++node) {
    const PartialSums one{sums.tree, sums.nodes.subspan(static_cast<size_t>(node), 1)};
    const Leaves below = leaves_of(one);
    const LeafSteps merges = steps_of(one);
    SumSteps steps;
    for (int leaf = 0; leaf < below.count; ++leaf) {
      steps.steps[steps.count++] = static_cast<int8_t>(leaf);
      for (int i = 0; i < merges.merges[leaf]; ++i) steps.steps[steps.count++] = SumSteps::kMerge;
    }
    cuda::finish_sums(floats(leaves) + first * elements, steps, elements,
                      floats(result) + node * elements, kStream);
    first += below.count;
  }
  return result;
}

// Rows of each expert together, by ascending expert: their products, leaf by leaf, are weighted and
// added to the leaves' sums, which then combine.
Tensor CudaBackend::mix_by_matrix(const Tensor& x, const GpuWeight& w, const Mixture& mixture,
                                  const PartialSums& sums) {
  const bool by_input = mixture.axis == Mixture::Axis::kInputs;
  const PartialSums order = w.is_divided() ? sums : w.sums();
  const int64_t tokens = mixture.count, inputs = x.shape()[1], outputs = w.shape()[1];
  // The leaves of a product: each by itself where they are what ranks divide, else together.
  const std::vector<int> nodes = by_input && w.is_divided()
                                     ? leaves_below(sums)
                                     : std::vector<int>(order.nodes.begin(), order.nodes.end());
  const PartialSums leaf_sums{order.tree, nodes};
  const auto leaves = std::ssize(nodes);
  const Leaves groups = by_input ? Leaves{} : leaves_of(sums);
  const int64_t group_count = by_input ? 1 : groups.count;
  Tensor all = Tensor::zeros(DType::kF32, {group_count * leaves, tokens, outputs}, memory_);
  if (all.elements() == 0) return all;
  const ByMatrix by_matrix(mixture.experts);
  const int parts = w.rows() != nullptr ? 1 : parts_of(x.dtype());
  const std::span<const int32_t> by_order = by_matrix.order;
  const Tensor rows = upload(by_order);
  const Tensor token = upload(std::span<const int32_t>(in_order(mixture.tokens, by_order)));
  const Tensor factor = upload(std::span<const float>(in_order(mixture.weights, by_order)));
  const auto taken_rows = std::ssize(by_order);
  Tensor taken = x.beside(x.dtype(), {taken_rows, inputs});
  take_rows({x.bytes().data(), integers(rows), taken.mutable_bytes().data(),
             inputs * size_of(x.dtype()), taken_rows},
            kStream);
  int64_t begin = 0;
  for (const auto& [matrix, count] : by_matrix.runs) {
    Tensor own = taken.slice(0, begin, begin + count);
    if (parts > 1) own = in_parts(own);
    Tensor y = x.beside(DType::kF32, {leaves, parts * count, outputs});
    multiply({own.bytes().data(), own.dtype(), parts * count}, w, matrix, leaf_sums, floats(y));
    if (parts > 1) {
      Tensor merged = x.beside(DType::kF32, {leaves, count, outputs});
      merge_parts({floats(y), floats(merged), leaves, parts, count * outputs}, kStream);
      y = merged;
    }
    const int64_t group = by_input ? 0 : groups.leaf_of(matrix);
    mix_rows({floats(y), integers(token) + begin, floats(factor) + begin,
              floats(all) + group * leaves * tokens * outputs, count, tokens, outputs, leaves},
             kStream);
    begin += count;
  }
  if (by_input && !w.is_divided()) return all;
  return combine_leaves(all, sums);
}

}  // namespace strake::cuda
