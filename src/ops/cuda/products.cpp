// Products: which kernel, and what it is told.
#include <algorithm>
#include <numeric>

#include "base/fail.h"
#include "ops/cuda/activation_parts.h"
#include "ops/cuda/cuda_backend.h"
#include "ops/cuda/dense_rows.h"
#include "ops/cuda/expert_rows.h"
#include "ops/cuda/leaf_steps.h"
#include "ops/cuda/norms.h"
#include "ops/cuda/sum_orders.h"

namespace strake::cuda {
namespace {

const cudaStream_t kStream = cudaStreamPerThread;

// Rows up to which one kernel's sums are in one order, whatever their number.
constexpr int64_t kFewRows = 16;
constexpr int64_t kSomeRows = 128;
// Tokens of a mixture that one launch takes.
constexpr int64_t kFewTokens = 8;

float* floats(Tensor& tensor) { return reinterpret_cast<float*>(tensor.mutable_bytes().data()); }
const float* floats(const Tensor& tensor) {
  return reinterpret_cast<const float*>(tensor.bytes().data());
}
const int32_t* integers(const Tensor& tensor) {
  return reinterpret_cast<const int32_t*>(tensor.bytes().data());
}

int64_t nodes_of(const PartialSums& sums) { return std::ssize(sums.nodes); }

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

// Rows by the matrix that they multiply, in their order.
struct ByMatrix {
  std::vector<int32_t> order;             // rows
  std::vector<std::pair<int, int>> runs;  // matrix, rows

  explicit ByMatrix(std::span<const int32_t> matrices) : order(matrices.size()) {
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, {}, [&](int32_t row) { return matrices[row]; });
    for (const int32_t row : order) {
      if (runs.empty() || runs.back().first != matrices[row]) runs.emplace_back(matrices[row], 0);
      ++runs.back().second;
    }
  }
};

template <class T>
std::vector<T> in_order(std::span<const T> values, std::span<const int32_t> order) {
  std::vector<T> result;
  for (const int32_t row : order) result.push_back(values[static_cast<size_t>(row)]);
  return result;
}

}  // namespace

Weight CudaBackend::do_prepare(Weight w, const PartialSums& sums) {
  return Weight(std::make_shared<GpuWeight>(w, sums, memory_, kStream));
}

FewRowsWorkspace CudaBackend::workspace(const FewRowsCall& call) {
  const int64_t bytes = few_rows_workspace_bytes(call, few_rows_);
  if (!workspace_ || workspace_->nbytes() < bytes)
    workspace_ = Tensor::zeros(DType::kU8, {std::max<int64_t>(bytes, 1 << 20)}, memory_);
  return {workspace_->mutable_bytes().data(), workspace_->nbytes()};
}

Tensor CudaBackend::in_parts(const Tensor& x) {
  const int parts = parts_of(x.dtype());
  if (parts == 1) return x;
  Tensor result = x.beside(DType::kBF16, {parts * x.shape()[0], x.shape()[1]});
  split_parts(x.bytes().data(), x.dtype(), x.elements(), result.mutable_bytes().data(), kStream);
  return result;
}

void CudaBackend::multiply(const Operand& x, const GpuWeight& w, int64_t index,
                           const PartialSums& sums, float* out) {
  if (w.rows() == nullptr) return multiply_packed(x, w, index, sums, out);
  const int64_t matrix_bytes = w.rows()->nbytes() / w.matrices();
  dense_rows({.weight = w.rows()->bytes().data() + index * matrix_bytes,
              .weight_dtype = w.rows()->dtype(),
              .outputs = static_cast<int>(w.shape()[-2]),
              .leaves = leaves_of(sums),
              .steps = steps_of(sums),
              .x = x.data,
              .x_dtype = x.dtype,
              .x_stride = w.shape()[-1],
              .rows = static_cast<int>(x.rows),
              .out = out},
             kStream);
}

void CudaBackend::multiply_packed(const Operand& x, const GpuWeight& w, int64_t index,
                                  const PartialSums& sums, float* out) {
  const int64_t inputs = w.shape()[-1];
  const PackedWeight packed = w.packed(index);
  if (x.rows <= kFewRows) {
    const FewRowsCall call{.weight = packed,
                           .x = x.data,
                           .x_dtype = x.dtype,
                           .x_stride = inputs,
                           .x_rows = static_cast<int>(x.rows),
                           .steps = steps_of(sums),
                           .out = out};
    return few_rows(call, few_rows_, workspace(call), Order::kAfter, kStream);
  }
  const ManyRowsActivations activations{x.data, x.dtype, inputs, x.rows};
  // One running sum is faster where rows are many.
  const bool chain = !w.is_divided() && x.rows > kSomeRows;
  many_rows({packed, activations, out, many_rows_, kStream}, sums,
            chain ? LeafOrder::kChain : LeafOrder::kTree);
}

Tensor CudaBackend::do_matmul(const Tensor& x, const Weight& w, const PartialSums& sums) {
  const GpuWeight& weight = as_gpu_weight(w);
  const PartialSums order = weight.is_divided() ? sums : weight.sums();
  const int64_t rows = x.shape()[0], outputs = w.shape()[0], nodes = nodes_of(sums);
  Tensor result = x.beside(DType::kF32, {nodes, rows, outputs});
  if (result.elements() == 0) return result;
  const int parts = weight.rows() != nullptr ? 1 : parts_of(x.dtype());
  if (parts == 1) {
    multiply({x.bytes().data(), x.dtype(), rows}, weight, 0, order, floats(result));
    return result;
  }
  const Tensor split = in_parts(x);
  Tensor sums_of_parts = x.beside(DType::kF32, {nodes, parts * rows, outputs});
  multiply({split.bytes().data(), DType::kBF16, parts * rows}, weight, 0, order,
           floats(sums_of_parts));
  merge_parts({floats(sums_of_parts), floats(result), nodes, parts, rows * outputs}, kStream);
  return result;
}

Tensor CudaBackend::do_gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                                     const PartialSums& sums) {
  const GpuWeight& weight = as_gpu_weight(w);
  const PartialSums order = weight.is_divided() ? sums : weight.sums();
  const auto rows = std::ssize(indices.rhs);
  Tensor result = x.beside(DType::kF32, {nodes_of(sums), rows, w.shape()[1]});
  if (result.elements() == 0) return result;
  if (weight.rows() == nullptr && x.dtype() == DType::kBF16 && rows <= ExpertRows::kMost) {
    const Tensor matrix = upload(indices.rhs), source = upload(indices.lhs);
    FewRowsCall call{.weight = weight.packed(),
                     .x = x.bytes().data(),
                     .x_dtype = x.dtype(),
                     .x_stride = x.shape()[1],
                     .x_rows = static_cast<int>(x.shape()[0]),
                     .steps = steps_of(order),
                     .experts = {},
                     .out = floats(result)};
    call.experts.rows = static_cast<int>(rows);
    call.experts.matrices = static_cast<int>(weight.matrices());
    call.experts.matrix = integers(matrix);
    call.experts.source = integers(source);
    if (few_rows_can(call, few_rows_)) {
      few_rows(call, few_rows_, workspace(call), Order::kAfter, kStream);
      return result;
    }
  }
  return gather_by_matrix(x, weight, indices, order);
}

// Rows of each matrix together, one product each.
Tensor CudaBackend::gather_by_matrix(const Tensor& x, const GpuWeight& w,
                                     const GatherIndices& indices, const PartialSums& sums) {
  const ByMatrix by_matrix(indices.rhs);
  const int parts = w.rows() != nullptr ? 1 : parts_of(x.dtype());
  const int64_t inputs = x.shape()[1], outputs = w.shape()[1];
  const auto rows = std::ssize(indices.rhs);
  const Tensor sources = upload(std::span<const int32_t>(in_order(indices.lhs, by_matrix.order)));
  Tensor taken = x.beside(x.dtype(), {rows, inputs});
  take_rows({x.bytes().data(), integers(sources), taken.mutable_bytes().data(),
             inputs * size_of(x.dtype()), rows},
            kStream);
  std::vector<Tensor> results;
  int64_t begin = 0;
  for (const auto& [matrix, count] : by_matrix.runs) {
    Tensor own = taken.slice(0, begin, begin + count);
    if (parts > 1) own = in_parts(own);
    Tensor y = x.beside(DType::kF32, {nodes_of(sums), parts * count, outputs});
    multiply({own.bytes().data(), own.dtype(), parts * count}, w, matrix, sums, floats(y));
    if (parts > 1) {
      Tensor merged = x.beside(DType::kF32, {nodes_of(sums), count, outputs});
      merge_parts({floats(y), floats(merged), nodes_of(sums), parts, count * outputs}, kStream);
      y = merged;
    }
    results.push_back(y);
    begin += count;
  }
  const Tensor sorted = concatenate(results, 1);
  // Back to the order of the indices, node by node.
  std::vector<int32_t> place(by_matrix.order.size());
  for (size_t i = 0; i < place.size(); ++i)
    place[static_cast<size_t>(by_matrix.order[i])] = static_cast<int32_t>(i);
  const Tensor places = upload(std::span<const int32_t>(place));
  Tensor result = x.beside(DType::kF32, {nodes_of(sums), rows, outputs});
  for (int64_t node = 0; node < nodes_of(sums); ++node)
    take_rows({floats(sorted) + node * rows * outputs, integers(places),
               floats(result) + node * rows * outputs,
               outputs * static_cast<int64_t>(sizeof(float)), rows},
              kStream);
  return result;
}

Tensor CudaBackend::do_mix_matmul(const Tensor& x, const Weight& w, const Mixture& mixture,
                                  const PartialSums& sums) {
  const GpuWeight& weight = as_gpu_weight(w);
  // The number of tokens alone decides: it is the same for every number of GPUs.
  const bool few = mixture.count <= kFewTokens && x.dtype() == DType::kBF16 &&
                   weight.rows() == nullptr && std::ssize(mixture.experts) <= ExpertRows::kMost;
  return few ? mix_few(x, weight, mixture, sums) : mix_by_matrix(x, weight, mixture, sums);
}

Tensor CudaBackend::mix_few(const Tensor& x, const GpuWeight& w, const Mixture& mixture,
                            const PartialSums& sums) {
  const bool by_input = mixture.axis == Mixture::Axis::kInputs;
  const PartialSums order = w.is_divided() ? sums : w.sums();
  const int64_t tokens = mixture.count, outputs = w.shape()[1];
  const Leaves groups = by_input ? Leaves{} : leaves_of(sums);
  const int64_t group_count = by_input ? 1 : groups.count;
  const int64_t nodes = by_input ? nodes_of(sums) : 1;
  Tensor result = x.beside(DType::kF32, {group_count * nodes, tokens, outputs});
  if (result.elements() == 0) return result;
  if (mixture.experts.empty())
    return Tensor::zeros(DType::kF32, {nodes_of(sums), tokens, outputs}, memory_);
  const Tensor matrix = upload(mixture.experts), token = upload(mixture.tokens),
               factor = upload(mixture.weights);
  FewRowsCall call{.weight = w.packed(),
                   .x = x.bytes().data(),
                   .x_dtype = x.dtype(),
                   .x_stride = x.shape()[1],
                   .x_rows = static_cast<int>(x.shape()[0]),
                   .steps = steps_of(order),
                   .experts = {},
                   .out = floats(result)};
  ExpertRows& experts = call.experts;
  experts.rows = static_cast<int>(std::ssize(mixture.experts));
  experts.matrices = static_cast<int>(w.matrices());
  experts.matrix = integers(matrix);
  experts.token = integers(token);
  experts.factor = floats(factor);
  experts.tokens = static_cast<int>(tokens);
  experts.groups = static_cast<int>(group_count);
  experts.group_cuts[1] = experts.matrices;
  if (!by_input) std::copy_n(groups.cuts, groups.count + 1, experts.group_cuts);
  few_rows(call, few_rows_, workspace(call), Order::kAfter, kStream);
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
  Tensor taken = x.beside(x.dtype(), x.shape());
  take_rows({x.bytes().data(), integers(rows), taken.mutable_bytes().data(),
             inputs * size_of(x.dtype()), x.shape()[0]},
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

Tensor CudaBackend::do_finish_sums(const Tensor& pieces, const PartialSums& sums) {
  const int64_t nodes = pieces.shape()[0];
  Tensor result = pieces.beside(DType::kF32, Shape(pieces.shape().extents().subspan(1)));
  if (nodes == 1) return pieces.reshape(result.shape());
  cuda::finish_sums(floats(pieces), root_steps(sums), result.elements(), floats(result), kStream);
  return result;
}

}  // namespace strake::cuda
