#include "quant/encode_mlx.h"
#include "quant/encoders.h"

namespace strake {

void quantize_mlx(const Tensor& weight, Format format, ExponentRule rule, QuantizedParts& parts) {
  const float factor = parts.tensor_amax ? 2688.0f / *parts.tensor_amax : 1.0f;
  visit_encoding(format, weight.dtype(), [&]<class Spec, class T>(Spec, T) {
    encode_groups<Spec, T>(weight, parts, [&](const GroupValues<Spec>& values, int64_t) {
      return encode_mlx<Spec, T>(values, rule, factor);
    });
  });
}

}  // namespace strake
