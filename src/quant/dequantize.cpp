#include <array>

#include "base/fail.h"
#include "quant/decode.h"
#include "strake/quant/quantize.h"

namespace strake {
namespace {

template <class Spec, class T>
void dequantize_to(const QuantizedMatrix& matrix, Tensor& result) {
  const GroupScales<Spec> scales(matrix);
  const uint32_t* words = matrix.codes().data<uint32_t>().data();
  T* out = result.mutable_data<T>().data();
  const int64_t groups = matrix.scales().elements();
  std::array<float, Spec::kGroupSize> values;
  for (int64_t group = 0; group < groups; ++group) {
    decode_group<Spec>(words + group * Spec::kWordsPerGroup, scales[group], values.data());
    for (const float value : values) *out++ = from_float<T>(value);
  }
}

}  // namespace

Tensor dequantize(const QuantizedMatrix& matrix, DType dtype) {
  if (!is_floating(dtype))
    fail(ErrorKind::kUsage, "dequantize: a floating dtype was expected, found {}",
         to_string(dtype));
  Tensor result = Tensor::empty(dtype, matrix.shape(), matrix.device());
  if (matrix.device().kind == DeviceKind::kMeta) return result;
  visit_format(matrix.format(), [&](auto spec) {
    using Spec = decltype(spec);
    if (dtype == DType::kF32) dequantize_to<Spec, float>(matrix, result);
    if (dtype == DType::kF16) dequantize_to<Spec, F16>(matrix, result);
    if (dtype == DType::kBF16) dequantize_to<Spec, Bf16>(matrix, result);
  });
  return result;
}

}  // namespace strake
