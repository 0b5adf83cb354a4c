#include "strake/ops/quantized_matmul.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "base/fail.h"

namespace strake {
namespace {

// Which matrix of a batch each result takes.
struct Indices {
  Shape shape;
  std::vector<int64_t> values;  // row-major
};

// 0, 1, 2, ... in this shape.
Indices count_in(Shape shape) {
  Indices indices{std::move(shape), {}};
  for (int64_t i = 0; i < indices.shape.elements(); ++i) indices.values.push_back(i);
  return indices;
}

template <class T>
std::vector<int64_t> widened(const Tensor& tensor) {
  const auto values = tensor.data<T>();
  return {values.begin(), values.end()};
}

std::vector<int64_t> integers(std::string_view name, const Tensor& tensor) {
  switch (tensor.dtype()) {
    case DType::kU8:
      return widened<uint8_t>(tensor);
    case DType::kI8:
      return widened<int8_t>(tensor);
    case DType::kU16:
      return widened<uint16_t>(tensor);
    case DType::kI16:
      return widened<int16_t>(tensor);
    case DType::kU32:
      return widened<uint32_t>(tensor);
    case DType::kI32:
      return widened<int32_t>(tensor);
    case DType::kI64:
      return widened<int64_t>(tensor);
    case DType::kU64:  // above the range of int64_t it turns negative, which is out of range too
      return widened<uint64_t>(tensor);
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kBool:
      break;
  }
  fail(ErrorKind::kUsage, "gather_qmm: {} must be integers, found {}", name,
       to_string(tensor.dtype()));
}

// `tensor`, or the default for a missing one: the matrices of `batch` in order.
Indices indices_or_all(std::string_view name, const std::optional<Tensor>& tensor,
                       const Shape& batch) {
  if (!tensor) return count_in(batch);
  Indices indices{tensor->shape(), integers(name, *tensor)};
  for (const int64_t index : indices.values)
    if (index < 0 || index >= batch.elements())
      fail(ErrorKind::kUsage, "gather_qmm: {}: {} is out of range, there are {} matrices", name,
           index, batch.elements());
  return indices;
}

// Extent of an axis counted from the last, 1 beyond the first.
int64_t extent_from_end(const Shape& shape, int axis) {
  return axis < shape.rank() ? shape[-1 - axis] : 1;
}

Shape broadcast_shape(std::string_view op, const Shape& a, const Shape& b) {
  std::vector<int64_t> extents;
  for (int axis = std::max(a.rank(), b.rank()) - 1; axis >= 0; --axis) {
    const int64_t from_a = extent_from_end(a, axis);
    const int64_t from_b = extent_from_end(b, axis);
    if (from_a != from_b && from_a != 1 && from_b != 1)
      fail(ErrorKind::kUsage, "{}: {} and {} cannot be broadcast together", op, a.to_string(),
           b.to_string());
    extents.push_back(from_a == 1 ? from_b : from_a);
  }
  return Shape(extents);
}

Indices broadcast(const Indices& indices, const Shape& shape) {
  Indices result{shape, {}};
  for (int64_t i = 0; i < shape.elements(); ++i) {
    int64_t rest = i;
    int64_t stride = 1;
    int64_t source = 0;
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const int64_t at = rest % shape[-1 - axis];
      const int64_t extent = extent_from_end(indices.shape, axis);
      rest /= shape[-1 - axis];
      source += extent == 1 ? 0 : at * stride;
      stride *= extent;
    }
    result.values.push_back(indices.values[static_cast<size_t>(source)]);
  }
  return result;
}

// All axes but the last two.
Shape batch_of(const Shape& shape) {
  const auto extents = shape.extents();
  return Shape(extents.first(extents.size() - 2));
}

Shape with_axes(const Shape& batch, std::initializer_list<int64_t> last) {
  std::vector<int64_t> extents(batch.extents().begin(), batch.extents().end());
  extents.insert(extents.end(), last);
  return Shape(extents);
}

// The type that holds both without loss.
DType common(DType a, DType b) { return a == b ? a : DType::kF32; }

DType result_dtype(const Tensor& x, const QuantizedMatrix& w) {
  return w.format().has_biases() ? common(x.dtype(), w.scales().dtype()) : x.dtype();
}

void check_operands(std::string_view op, const Tensor& x, const QuantizedMatrix& w, int min_axes) {
  if (!is_floating(x.dtype()) || x.shape().rank() < min_axes)
    fail(ErrorKind::kUsage, "{}: floating x with at least {} axes expected, found {} {}", op,
         min_axes, to_string(x.dtype()), x.shape().to_string());
  if (x.shape()[-1] != w.shape()[-1] || w.shape()[-1] == 0)
    fail(ErrorKind::kUsage, "{}: x {} does not fit the weight {}", op, x.shape().to_string(),
         w.shape().to_string());
}

// The matrix as a stack of one.
QuantizedMatrix stacked(const QuantizedMatrix& w) {
  if (w.shape().rank() == 3) return w;
  const auto stack = [](const Tensor& tensor) {
    return tensor.reshape({1, tensor.shape()[0], tensor.shape()[1]});
  };
  QuantizedParts parts{stack(w.codes()), stack(w.scales())};
  if (w.biases()) parts.biases = stack(*w.biases());
  parts.tensor_amax = w.tensor_amax();
  return QuantizedMatrix::make("gather_qmm", w.format(), std::move(parts));
}

// x [..., M, K], w [..., N, K], one pair of matrices a result -> [results, M, N].
Tensor multiply_pairs(Backend& backend, const Tensor& x, const QuantizedMatrix& w,
                      const Indices& lhs, const Indices& rhs) {
  const int64_t rows = x.shape()[-2];
  const int64_t in = x.shape()[-1];
  const int64_t batch = batch_of(x.shape()).elements();
  if (batch * rows > std::numeric_limits<int32_t>::max())
    fail(ErrorKind::kUsage, "gather_qmm: x {} has more than 2^31 - 1 rows", x.shape().to_string());
  std::vector<int32_t> x_rows, matrices;
  for (size_t i = 0; i < lhs.values.size(); ++i)
    for (int64_t row = 0; row < rows; ++row) {
      x_rows.push_back(static_cast<int32_t>(lhs.values[i] * rows + row));
      matrices.push_back(static_cast<int32_t>(rhs.values[i]));
    }
  const SumTree tree = SumTree::whole(in);
  const int root[] = {0};
  const Tensor y = backend.gather_matmul(x.reshape({batch * rows, in}), stacked(w),
                                         {x_rows, matrices}, {tree, root});
  return y.reshape(with_axes(lhs.shape, {rows, w.shape()[-2]})).to(result_dtype(x, w));
}

Tensor gather_product(std::string_view op, Backend& backend, const Tensor& x,
                      const QuantizedMatrix& w, const std::pair<Indices, Indices>& indices) {
  const Shape shape = broadcast_shape(op, indices.first.shape, indices.second.shape);
  return multiply_pairs(backend, x, w, broadcast(indices.first, shape),
                        broadcast(indices.second, shape));
}

}  // namespace

Tensor quantized_matmul(Backend& backend, const Tensor& x, const QuantizedMatrix& w) {
  constexpr std::string_view kOp = "quantized_matmul";
  const bool stack = w.shape().rank() == 3;
  check_operands(kOp, x, w, stack ? 3 : 1);
  if (stack)
    return gather_product(kOp, backend, x, w,
                          {count_in(batch_of(x.shape())), count_in(batch_of(w.shape()))});
  const int64_t in = x.shape()[-1];
  const Tensor rows = x.reshape({x.elements() / in, in});
  const Tensor y = backend.matmul(rows, w, SumTree::whole(in));
  return y.reshape(x.shape().with(-1, w.shape()[0])).to(result_dtype(x, w));
}

Tensor gather_qmm(Backend& backend, const Tensor& x, const QuantizedMatrix& w,
                  const std::optional<Tensor>& lhs_indices,
                  const std::optional<Tensor>& rhs_indices) {
  if (!lhs_indices && !rhs_indices) return quantized_matmul(backend, x, w);
  check_operands("gather_qmm", x, w, 2);
  return gather_product("gather_qmm", backend, x, w,
                        {indices_or_all("lhs_indices", lhs_indices, batch_of(x.shape())),
                         indices_or_all("rhs_indices", rhs_indices, batch_of(w.shape()))});
}

}  // namespace strake
