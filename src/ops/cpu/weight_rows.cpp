#include "ops/cpu/weight_rows.h"

#include "quant/decode.h"
#include "quant/format_list.h"

namespace strake::cpu {
namespace {

// Calls visitor(T()) for the C++ type of a floating dtype.
template <class Visitor>
decltype(auto) visit_floating(DType dtype, Visitor&& visitor) {
  if (dtype == DType::kF16) return visitor(F16());
  if (dtype == DType::kBF16) return visitor(Bf16());
  return visitor(float());
}

RowDecoder dense_rows(const Tensor& tensor) {
  return visit_floating(tensor.dtype(), [&]<class T>(T) -> RowDecoder {
    const auto data = tensor.data<T>();
    const int64_t in = tensor.shape()[-1];
    return [data, in](int64_t row, float* out) {
      const T* from = data.data() + row * in;
      for (int64_t i = 0; i < in; ++i) out[i] = to_float(from[i]);
    };
  });
}

template <class Spec>
RowDecoder quantized_rows(const QuantizedMatrix& matrix) {
  const auto codes = matrix.codes().data<uint32_t>();
  const int64_t groups = matrix.scales().shape()[-1];
  return [codes, groups, scales = GroupScales<Spec>(matrix)](int64_t row, float* out) {
    for (int64_t group = row * groups; group < (row + 1) * groups; ++group) {
      decode_group<Spec>(codes.data() + group * Spec::kWordsPerGroup, scales[group], out);
      out += Spec::kGroupSize;
    }
  };
}

}  // namespace

RowDecoder row_decoder(const Weight& weight) {
  if (weight.dense() != nullptr) return dense_rows(*weight.dense());
  const QuantizedMatrix& matrix = *weight.quantized();
  return visit_format(matrix.format(), [&](auto spec) -> RowDecoder {
    return quantized_rows<decltype(spec)>(matrix);
  });
}

void widen(const Tensor& tensor, float* out) {
  visit_floating(tensor.dtype(), [&]<class T>(T) {
    const auto data = tensor.data<T>();
    for (size_t i = 0; i < data.size(); ++i) out[i] = to_float(data[i]);
  });
}

}  // namespace strake::cpu
