// Products: which kernel, and what it is told.
#include <algorithm>

#include "base/recycled.h"
#include "ops/cuda/activation_parts.h"
#include "ops/cuda/cuda_backend.h"
#include "ops/cuda/dense_rows.h"
#include "ops/cuda/expert_rows.h"
#include "ops/cuda/few_rows_call.h"
#include "ops/cuda/leaf_steps.h"
#include "ops/cuda/norms.h"
#include "ops/cuda/operands.h"
#include "ops/cuda/sum_orders.h"
#include "ops/head_indices.h"

namespace strake::cuda {
namespace {

const cudaStream_t kStream = cudaStreamPerThread;

// Rows up to which one kernel's sums are in one order, whatever their number.
constexpr int64_t kFewRows = 16;
constexpr int64_t kSomeRows = 128;

// Whether the kernels for packed weights multiply them, as they are.
bool is_packed_product(const Tensor& x, const GpuWeight& w) {
  return w.rows() == nullptr && parts_of(x.dtype()) == 1 && w.shape()[0] > 0 && x.shape()[0] > 0;
}
bool is_few_rows(const Tensor& x, const GpuWeight& w) {
  return is_packed_product(x, w) && x.shape()[0] <= kFewRows;
}

}  // namespace

Weight CudaBackend::do_prepare(Weight w, const PartialSums& sums) {
  next_product_ = Order::kAfter;
  return Weight(std::make_shared<GpuWeight>(w, sums, memory_, kStream));
}

void CudaBackend::run(const FewRowsCall& call) {
  ++few_rows_calls_;
  few_rows(call, few_rows_, workspace(call), std::exchange(next_product_, Order::kOverlapping),
           kStream);
}

FewRowsWorkspace CudaBackend::workspace(const FewRowsCall& call) {
  const int64_t bytes = few_rows_workspace_bytes(call, few_rows_);
  if (!workspace_ || workspace_->nbytes() < bytes) {
    if (gpu_memory_->is_recording()) throw NotRecordable();  // it outlives the recording
    workspace_ = Tensor::zeros(DType::kU8, {std::max<int64_t>(bytes, 1 << 20)}, memory_);
  }
  return {workspace_->mutable_bytes().data(), workspace_->nbytes()};
}

float* CudaBackend::many_rows_workspace() {
  const int64_t bytes = many_rows_workspace_bytes(many_rows_);
  if (bytes == 0) return nullptr;
  if (!waiting_sums_) {
    if (gpu_memory_->is_recording()) return nullptr;  // it outlives the recording
    waiting_sums_ = Tensor::zeros(DType::kU8, {bytes}, memory_);
  }
  return reinterpret_cast<float*>(waiting_sums_->mutable_bytes().data());
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
  if (w.rows() == nullptr) return multiply_packed(x, w, index, sums, {out, DType::kF32});
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
                                  const PartialSums& sums, Result out, Neighbours neighbours) {
  const int64_t inputs = w.shape()[-1];
  const PackedWeight packed = w.packed(index);
  if (x.rows <= kFewRows) {
    const FewRowsCall call{.weight = packed,
                           .x = x.data,
                           .x_dtype = x.dtype,
                           .x_stride = inputs,
                           .x_rows = static_cast<int>(x.rows),
                           .steps = steps_of(sums),
                           .out = out.data,
                           .out_dtype = out.dtype};
    return run(call);
  }
  const ManyRowsActivations activations{x.data, x.dtype, inputs, x.rows};
  // One running sum is faster where rows are many.
  const bool chain = !w.is_divided() && x.rows > kSomeRows;
  many_rows({.w = packed,
             .x = activations,
             .out = out.data,
             .device = many_rows_,
             .stream = kStream,
             .out_dtype = out.dtype,
             // Products that overlap would need one each.
             .workspace = neighbours.before || neighbours.after ? nullptr : many_rows_workspace(),
             .follows = neighbours.before,
             .leads = neighbours.after},
            sums, chain ? LeafOrder::kChain : LeafOrder::kTree);
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

Tensor CudaBackend::do_matmul_to(const Tensor& x, const Weight& w, const SumTree& tree,
                                 DType dtype) {
  JointProduct product[] = {{w, dtype}};
  do_matmul_each(x, product, tree);
  return *product[0].result;
}

Tensor CudaBackend::multiply_to(const Tensor& x, const JointProduct& product, const SumTree& tree,
                                Neighbours neighbours) {
  const GpuWeight& weight = as_gpu_weight(product.weight);
  if (!is_packed_product(x, weight))
    return Backend::do_matmul_to(x, product.weight, tree, product.dtype);
  const int root[] = {0};
  const int64_t rows = x.shape()[0];
  Tensor result = x.beside(product.dtype, {rows, weight.shape()[0]});
  multiply_packed({x.bytes().data(), x.dtype(), rows}, weight, 0,
                  weight.is_divided() ? PartialSums{tree, root} : weight.sums(),
                  {result.mutable_bytes().data(), product.dtype}, neighbours);
  return result;
}

// Products go together with the first that they can join.
void CudaBackend::do_matmul_each(const Tensor& x, std::span<JointProduct> products,
                                 const SumTree& tree) {
  const int root[] = {0};
  const int64_t rows = x.shape()[0];
  for (JointProduct& product : products) product.result.reset();
  for (size_t i = 0; i < products.size(); ++i) {
    JointProduct& first = products[i];
    if (first.result) continue;
    const GpuWeight& weight = as_gpu_weight(first.weight);
    if (!is_few_rows(x, weight)) {
      // Each starts where the multiprocessors are done with the one before.
      const auto in_a_row = [&](size_t index) {
        return index < products.size() && x.shape()[0] > kFewRows &&
               is_packed_product(x, as_gpu_weight(products[index].weight));
      };
      first.result = multiply_to(x, first, tree,
                                 {.before = i > 0 && in_a_row(i - 1), .after = in_a_row(i + 1)});
      continue;
    }
    JoinedProduct joined[kMostJoined - 1] = {};
    size_t count = 0;
    for (JointProduct& other : products.subspan(i + 1)) {
      const GpuWeight& another = as_gpu_weight(other.weight);
      if (other.result || count == std::size(joined) || !is_few_rows(x, another) ||
          another.is_divided() != weight.is_divided() ||
          !can_join(weight.packed(), another.packed()))
        continue;
      other.result = x.beside(other.dtype, {rows, another.shape()[0]});
      joined[count++] = {another.packed(), other.result->mutable_bytes().data(), other.dtype};
    }
    first.result = x.beside(first.dtype, {rows, weight.shape()[0]});
    FewRowsCall call =
        few_rows_call(x, weight, weight.is_divided() ? PartialSums{tree, root} : weight.sums());
    call.out = first.result->mutable_bytes().data();
    call.out_dtype = first.dtype;
    call.joined = {joined, count};
    run(call);
  }
}

Tensor CudaBackend::do_gather_matmul(const Tensor& x, const Weight& w, const GatherIndices& indices,
                                     const PartialSums& sums) {
  const GpuWeight& weight = as_gpu_weight(w);
  const auto rows = std::ssize(indices.rhs);
  if (rows == 0 || w.shape()[1] == 0 || nodes_of(sums) == 0)
    return x.beside(DType::kF32, {nodes_of(sums), rows, w.shape()[1]});
  if (auto result = gather_few(x, weight, indices, sums, DType::kF32)) return *result;
  return gather_by_matrix(x, weight, indices, weight.is_divided() ? sums : weight.sums());
}

Tensor CudaBackend::do_gather_matmul_to(const Tensor& x, const Weight& w,
                                        const GatherIndices& indices, const SumTree& tree,
                                        DType dtype) {
  const int root[] = {0};
  if (!indices.rhs.empty() && w.shape()[1] > 0)
    if (auto result = gather_few(x, as_gpu_weight(w), indices, {tree, root}, dtype))
      return result->reshape({std::ssize(indices.rhs), w.shape()[1]});
  return Backend::do_gather_matmul_to(x, w, indices, tree, dtype);
}

Tensor CudaBackend::do_head_matmul(const Tensor& x, const Weight& w, const SumTree& tree,
                                   DType dtype) {
  const int root[] = {0};
  const int64_t rows = x.shape()[0], heads = x.shape()[1], outputs = w.shape()[1];
  if (rows * heads * outputs > 0) {
    // Columns beyond the inputs are left out where they stand.
    const HeadIndices each(rows, heads);
    if (auto result = gather_few(x.reshape({rows * heads, x.shape()[2]}), as_gpu_weight(w),
                                 each.indices(), {tree, root}, dtype))
      return result->reshape({rows, heads, outputs});
  }
  return Backend::do_head_matmul(x, w, tree, dtype);
}

namespace {

// Of indices to matrices, how many are alike.
int most_alike(std::span<const int32_t> matrices, int64_t count) {
  Recycled<int> found(static_cast<size_t>(count), 0);
  for (const int32_t matrix : matrices) ++found[static_cast<size_t>(matrix)];
  return std::ranges::max(found);
}

}  // namespace

std::optional<Tensor> CudaBackend::gather_few(const Tensor& x, const GpuWeight& w,
                                              const GatherIndices& indices, const PartialSums& sums,
                                              DType dtype) {
  const auto rows = std::ssize(indices.rhs);
  if (rows > ExpertRows::kMost || w.rows() != nullptr || x.dtype() != DType::kBF16)
    return std::nullopt;
  std::optional<Tensor> copies[2];
  const auto there = [&](std::span<const int32_t> all,
                         std::optional<Tensor>& copy) -> const int32_t* {
    if (indices.use == GatherIndices::Use::kAgain) return constants_.find(all);
    copy = upload(all);
    return integers(*copy);
  };
  ExpertRows experts;
  experts.rows = static_cast<int>(rows);
  experts.matrices = static_cast<int>(w.matrices());
  experts.matrix = there(indices.rhs, copies[0]);
  experts.source = there(indices.lhs, copies[1]);
  experts.most_rows = most_alike(indices.rhs, w.matrices());
  experts.known = indices.use == GatherIndices::Use::kAgain ? 1 : 0;
  return gather_few(x, w, experts, w.is_divided() ? sums : w.sums(), dtype);
}

std::optional<Tensor> CudaBackend::gather_few(const Tensor& x, const GpuWeight& w,
                                              const ExpertRows& rows, const PartialSums& order,
                                              DType dtype) {
  if (w.rows() != nullptr || x.dtype() != DType::kBF16) return std::nullopt;
  Tensor result = x.beside(dtype, {nodes_of(order), rows.rows, w.shape()[1]});
  FewRowsCall call = few_rows_call(x, w, order);
  call.experts = rows;
  call.out = result.mutable_bytes().data();
  call.out_dtype = dtype;
  if (!few_rows_can(call, few_rows_)) return std::nullopt;
  run(call);
  return result;
}

// Rows of each matrix together, one product each.
Tensor CudaBackend::gather_by_matrix(const Tensor& x, const GpuWeight& w,
                                     const GatherIndices& indices, const PartialSums& sums) {
  const ByMatrix by_matrix(indices.rhs);
  const int parts = w.rows() != nullptr ? 1 : parts_of(x.dtype());
  const int64_t inputs = x.shape()[1], outputs = w.shape()[1];
  const auto rows = std::ssize(by_matrix.order);
  Tensor result = x.beside(DType::kF32, {nodes_of(sums), std::ssize(indices.rhs), outputs});
  if (rows == 0) return result;
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
  std::vector<int32_t> place(indices.rhs.size());
  for (size_t i = 0; i < by_matrix.order.size(); ++i)
    place[static_cast<size_t>(by_matrix.order[i])] = static_cast<int32_t>(i);
  const Tensor places = upload(std::span<const int32_t>(place));
  const auto all = std::ssize(place);
  for (int64_t node = 0; node < nodes_of(sums); ++node)
    take_rows(
        {floats(sorted) + node * rows * outputs, integers(places),
         floats(result) + node * all * outputs, outputs * static_cast<int64_t>(sizeof(float)), all},
        kStream);
  return result;
}

Tensor CudaBackend::do_finish_sums(const Tensor& pieces, const PartialSums& sums) {
  const int64_t nodes = pieces.shape()[0];
  Tensor result = pieces.beside(DType::kF32, Shape(pieces.shape().extents().subspan(1)));
  if (nodes == 1) return pieces.reshape(result.shape());
  cuda::finish_sums(floats(pieces), root_steps(sums), result.elements(), floats(result), kStream);
  return result;
}

}  // namespace strake::cuda
