#include "ops/cpu/weight_rows.h"

#include "quant/decode.h"
#include "quant/format_list.h"

namespace strake::cpu {
namespace {

RowDecoder dense_rows(const Tensor& tensor) {
  return visit_floating(tensor.dtype(), [&]<class T>(T) -> RowDecoder {
    const auto data = tensor.data<T>();
    const int64_t in = tensor.shape()[-1];
    return [data, in](int64_t row, float* out) { widen_row(data.data() + row * in, in, out); };
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
  visit_floating(tensor.dtype(),
                 [&]<class T>(T) { widen_row(tensor.data<T>().data(), tensor.elements(), out); });
}

}  // namespace strake::cpu
