#include "quant/head_weights.h"

#include <utility>

#include "base/fail.h"
#include "strake/quant/quantize.h"

namespace strake {
namespace {

// Products of an element and a scale are short; sums with a bias, and a factor of the whole tensor,
// are not.
DType exact_dtype(const QuantizedMatrix& matrix) {
  return matrix.format().has_biases() || matrix.tensor_amax() ? DType::kF32 : DType::kBF16;
}

template <class T>
void transpose(const Tensor& from, Tensor& to) {
  const int64_t rows = from.shape()[1];
  const int64_t columns = from.shape()[2];
  const T* in = from.data<T>().data();
  T* out = to.mutable_data<T>().data();
  for (int64_t head = 0; head < from.shape()[0]; ++head) {
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns; ++column)
        out[column * rows + row] = in[row * columns + column];
    in += rows * columns;
    out += rows * columns;
  }
}

}  // namespace

Weight stack_heads(const Weight& weight, int64_t rows) {
  const Shape& shape = weight.shape();
  if (shape.rank() != 2 || shape[0] % rows != 0)
    fail(ErrorKind::kUsage, "a weight of whole heads of {} rows expected, found {}", rows,
         shape.to_string());
  const auto stack = [&](const Tensor& tensor) {
    return tensor.reshape({shape[0] / rows, rows, tensor.shape()[1]});
  };
  if (weight.dense() != nullptr) return stack(*weight.dense());
  const QuantizedMatrix& matrix = *weight.quantized();
  QuantizedParts parts{stack(matrix.codes()), stack(matrix.scales())};
  if (matrix.biases()) parts.biases = stack(*matrix.biases());
  parts.tensor_amax = matrix.tensor_amax();
  return QuantizedMatrix::make("heads", matrix.format(), std::move(parts));
}

Tensor transposed_values(const Weight& weight) {
  const Shape& shape = weight.shape();
  if (shape.rank() != 3)
    fail(ErrorKind::kUsage, "a weight [heads, out, in] expected, found {}", shape.to_string());
  const QuantizedMatrix* const matrix = weight.quantized();
  const DType dtype = matrix != nullptr ? exact_dtype(*matrix) : weight.dense()->dtype();
  Tensor result = Tensor::empty(dtype, {shape[0], shape[2], shape[1]}, weight.device());
  if (weight.device().kind == DeviceKind::kMeta) return result;
  const Tensor values = matrix != nullptr ? dequantize(*matrix, dtype) : *weight.dense();
  if (dtype == DType::kF32) transpose<float>(values, result);
  if (dtype == DType::kF16) transpose<F16>(values, result);
  if (dtype == DType::kBF16) transpose<Bf16>(values, result);
  return result;
}

}  // namespace strake
