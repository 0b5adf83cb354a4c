#include "quant/quantization_error.h"

#include "base/fail.h"

namespace strake {

QuantizationError quantization_error(const Tensor& weight, const QuantizedMatrix& matrix) {
  if (weight.shape() != matrix.shape())
    fail(ErrorKind::kUsage, "quantization error: a weight {} and a matrix {} differ in shape",
         weight.shape().to_string(), matrix.shape().to_string());
  const Tensor exact = weight.to(DType::kF32);
  const Tensor decoded = dequantize(matrix, DType::kF32);
  const auto expected = exact.data<float>();
  const auto found = decoded.data<float>();
  double squares = 0;
  double differences = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double difference = static_cast<double>(found[i]) - static_cast<double>(expected[i]);
    differences += difference * difference;
    squares += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
  }
  const double mean = expected.empty() ? 0 : differences / static_cast<double>(expected.size());
  return {mean, squares > 0 ? differences / squares : 0};
}

}  // namespace strake
