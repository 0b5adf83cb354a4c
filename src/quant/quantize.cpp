#include "strake/quant/quantize.h"

#include <cmath>

#include "base/fail.h"
#include "quant/encoders.h"

namespace strake {
namespace {

void check_weight(const Tensor& weight, Format format) {
  const Shape& shape = weight.shape();
  if (!is_floating(weight.dtype()))
    fail(ErrorKind::kUsage, "quantize: a floating weight was expected, found {}",
         to_string(weight.dtype()));
  if (shape.rank() < 2 || shape.rank() > 3)
    fail(ErrorKind::kUsage, "quantize: a weight of 2 or 3 axes was expected, found {}",
         shape.to_string());
  if (shape[-1] % format.group_size() != 0)
    fail(ErrorKind::kUsage, "quantize: {}: the last axis of {} is not whole groups",
         format.to_string(), shape.to_string());
}

void check_amax(Format format, std::optional<float> tensor_amax) {
  if (!tensor_amax) return;
  if (format.mode() != Mode::kNvfp4)
    fail(ErrorKind::kUsage, "quantize: only nvfp4 takes the tensor's largest magnitude, not {}",
         format.mode_name());
  if (!std::isfinite(*tensor_amax) || *tensor_amax <= 0)
    fail(ErrorKind::kUsage, "quantize: the tensor's largest magnitude is {}, expected above 0",
         *tensor_amax);
}

QuantizedParts allocate_parts(const Tensor& weight, Format format) {
  const Shape& shape = weight.shape();
  const Shape groups = shape.with(-1, shape[-1] / format.group_size());
  const DType scale_dtype = format.has_biases() ? weight.dtype() : DType::kU8;
  const auto part = [&](DType dtype, const Shape& extents) {
    return Tensor::empty(dtype, extents, weight.device());
  };
  QuantizedParts parts{part(DType::kU32, shape.with(-1, format.words(shape[-1]))),
                       part(scale_dtype, groups)};
  if (format.has_biases()) parts.biases = part(scale_dtype, groups);
  return parts;
}

}  // namespace

QuantizedMatrix quantize(const Tensor& weight, Format format, Encoder encoder,
                         std::optional<float> tensor_amax) {
  check_weight(weight, format);
  check_amax(format, tensor_amax);
  QuantizedParts parts = allocate_parts(weight, format);
  parts.tensor_amax = tensor_amax;
  if (weight.device().kind != DeviceKind::kMeta) {
    switch (encoder) {
      case Encoder::kLeastError:
        quantize_least_error(weight, format, parts);
        break;
      case Encoder::kMlx:
        quantize_mlx(weight, format, ExponentRule::kNearest, parts);
        break;
      case Encoder::kMlxCeil:
        quantize_mlx(weight, format, ExponentRule::kCeiling, parts);
        break;
    }
  }
  return QuantizedMatrix::make("quantize", format, std::move(parts));
}

}  // namespace strake
