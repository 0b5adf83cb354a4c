#include <cmath>

#include "base/fail.h"
#include "quant/encode_least_error.h"
#include "quant/encode_least_error_affine.h"
#include "quant/encoders.h"

namespace strake {
namespace {

// "row 3, column 17", with the expert before them where there are three axes.
std::string position(const Shape& shape, int64_t index) {
  const int64_t column = index % shape[-1];
  const int64_t row = index / shape[-1] % shape[-2];
  const std::string place = fmt::format("row {}, column {}", row, column);
  if (shape.rank() == 2) return place;
  return fmt::format("expert {}, {}", index / shape[-1] / shape[-2], place);
}

template <class Spec>
void require_finite(const Tensor& weight, const GroupValues<Spec>& values, int64_t group) {
  if (std::isfinite(largest_magnitude(values))) return;
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      fail(ErrorKind::kUsage, "quantize: {} is {}, a finite number was expected",
           position(weight.shape(), group * Spec::kGroupSize + static_cast<int64_t>(i)), values[i]);
}

template <class Spec, class T>
EncodedGroup<Spec> encode(const GroupValues<Spec>& values, float tensor_scale) {
  using Scale = typename Spec::Scale;
  if constexpr (std::is_same_v<Scale, FloatScale>)
    return encode_least_error_affine<Spec, T>(values);
  if constexpr (std::is_same_v<Scale, E8M0>) return encode_least_error_e8m0<Spec>(values);
  if constexpr (std::is_same_v<Scale, E4M3Scale>)
    return encode_least_error_e4m3<Spec>(values, tensor_scale);
}

}  // namespace

void quantize_least_error(const Tensor& weight, Format format, QuantizedParts& parts) {
  const float tensor_scale = parts.tensor_amax ? *parts.tensor_amax / 2688.0f : 1.0f;
  visit_encoding(format, weight.dtype(), [&]<class Spec, class T>(Spec, T) {
    encode_groups<Spec, T>(weight, parts, [&](const GroupValues<Spec>& values, int64_t group) {
      require_finite<Spec>(weight, values, group);
      return encode<Spec, T>(values, tensor_scale);
    });
  });
}

}  // namespace strake
