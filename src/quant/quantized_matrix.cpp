#include "strake/quant/quantized_matrix.h"

#include <cmath>
#include <vector>

#include "base/checked.h"
#include "base/fail.h"
#include "quant/format_list.h"

namespace strake {
namespace {

template <class T>
void check_finite(std::string_view name, std::string_view part, const Tensor& tensor) {
  const auto values = tensor.data<T>();
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(to_float(values[i])))
      fail(ErrorKind::kCheckpoint, "{}.{}: element {} is {}, a finite number was expected", name,
           part, i, to_float(values[i]));
}

void check_finite(std::string_view name, std::string_view part, const Tensor& tensor) {
  if (tensor.dtype() == DType::kF32) check_finite<float>(name, part, tensor);
  if (tensor.dtype() == DType::kF16) check_finite<F16>(name, part, tensor);
  if (tensor.dtype() == DType::kBF16) check_finite<Bf16>(name, part, tensor);
}

void check_biases(std::string_view name, Format format, const QuantizedParts& parts) {
  if (!format.has_biases()) {
    if (parts.biases)
      fail(ErrorKind::kCheckpoint, "{}.biases: present, but mode {} has none", name,
           format.mode_name());
    if (parts.scales.dtype() != DType::kU8)
      fail(ErrorKind::kCheckpoint, "{}.scales: mode {} has U8 scales, found {}", name,
           format.mode_name(), to_string(parts.scales.dtype()));
    return;
  }
  if (!is_floating(parts.scales.dtype()))
    fail(ErrorKind::kCheckpoint, "{}.scales: mode affine has floating scales, found {}", name,
         to_string(parts.scales.dtype()));
  if (!parts.biases)
    fail(ErrorKind::kCheckpoint, "{}.biases: missing, mode affine needs them", name);
  if (parts.biases->dtype() != parts.scales.dtype() ||
      parts.biases->shape() != parts.scales.shape())
    fail(ErrorKind::kCheckpoint, "{}.biases: {} {} does not match the scales, {} {}", name,
         to_string(parts.biases->dtype()), parts.biases->shape().to_string(),
         to_string(parts.scales.dtype()), parts.scales.shape().to_string());
}

}  // namespace

QuantizedMatrix::QuantizedMatrix(Format format, Shape shape, QuantizedParts parts)
    : format_(format), shape_(std::move(shape)), parts_(std::move(parts)) {}

QuantizedMatrix QuantizedMatrix::make(std::string_view name, Format format, QuantizedParts parts) {
  const Shape& codes = parts.codes.shape();
  const Shape& scales = parts.scales.shape();
  if (parts.codes.dtype() != DType::kU32)
    fail(ErrorKind::kCheckpoint, "{}.weight: packed codes are U32, found {}", name,
         to_string(parts.codes.dtype()));
  if (codes.rank() < 2 || codes.rank() > 3 || scales.rank() != codes.rank())
    fail(ErrorKind::kCheckpoint, "{}: weight {} and scales {} must both have 2 or 3 axes", name,
         codes.to_string(), scales.to_string());
  // A shape without elements may still have an extent that overflows.
  const int64_t group_bits = format.group_size() * format.bits();
  if (!checked_mul(scales[-1], group_bits) || !checked_mul(scales.elements(), group_bits))
    fail(ErrorKind::kCheckpoint, "{}.scales: shape {} is too large for {}", name,
         scales.to_string(), format.to_string());
  const int64_t in = scales[-1] * format.group_size();
  const Shape expected = scales.with(-1, format.words(in));
  if (codes != expected)
    fail(ErrorKind::kCheckpoint,
         "{}.weight: shape {} expected for {} with scales {}, found {}; is the format right?", name,
         expected.to_string(), format.to_string(), scales.to_string(), codes.to_string());
  check_biases(name, format, parts);
  if (parts.scales.device() != parts.codes.device())
    fail(ErrorKind::kInternal, "{}: codes and scales lie on different devices", name);
  if (parts.tensor_amax) {
    if (format.mode() != Mode::kNvfp4)
      fail(ErrorKind::kCheckpoint, "{}: only nvfp4 has a scale of the whole tensor, not {}", name,
           format.mode_name());
    if (!std::isfinite(*parts.tensor_amax) || *parts.tensor_amax <= 0)
      fail(ErrorKind::kCheckpoint, "{}: the tensor's largest magnitude is {}, expected above 0",
           name, *parts.tensor_amax);
  }
  Shape shape = scales.with(-1, in);
  return {format, std::move(shape), std::move(parts)};
}

float QuantizedMatrix::tensor_scale() const {
  return parts_.tensor_amax ? *parts_.tensor_amax / 2688.0f : 1.0f;
}

int64_t QuantizedMatrix::nbytes() const {
  return parts_.codes.nbytes() + parts_.scales.nbytes() +
         (parts_.biases ? parts_.biases->nbytes() : 0);
}

void QuantizedMatrix::require_finite_scales(std::string_view name) const {
  if (device().kind == DeviceKind::kMeta) return;
  check_finite(name, "scales", parts_.scales);
  if (parts_.biases) check_finite(name, "biases", *parts_.biases);
  visit_format(format_, [&](auto spec) {
    using Scale = typename decltype(spec)::Scale;
    if constexpr (!std::is_same_v<Scale, FloatScale>) {
      const auto bytes = parts_.scales.data<uint8_t>();
      for (size_t i = 0; i < bytes.size(); ++i)
        if (!std::isfinite(Scale::decode(bytes[i])))
          fail(ErrorKind::kCheckpoint, "{}.scales: byte {} is {}, which is not a finite scale",
               name, i, bytes[i]);
    }
  });
}

QuantizedMatrix QuantizedMatrix::slice(int axis, int64_t begin, int64_t end) const {
  if (axis < 0) axis += shape_.rank();
  const bool packed = axis == shape_.rank() - 1;
  const int64_t group = packed ? format_.group_size() : 1;
  if (begin % group != 0 || end % group != 0)
    fail(ErrorKind::kUsage, "slice [{}, {}) of the packed axis: groups of {} cannot be cut", begin,
         end, group);
  const auto cut = [&](const Tensor& tensor, int64_t per_group) {
    return tensor.slice(axis, begin / group * per_group, end / group * per_group);
  };
  QuantizedParts parts{cut(parts_.codes, packed ? format_.words(group) : 1), cut(parts_.scales, 1)};
  if (parts_.biases) parts.biases = cut(*parts_.biases, 1);
  parts.tensor_amax = parts_.tensor_amax;
  return {format_, shape_.with(axis, end - begin), std::move(parts)};
}

QuantizedMatrix concatenate(std::span<const QuantizedMatrix> parts, int axis) {
  if (parts.empty()) fail(ErrorKind::kUsage, "concatenate: nothing to join");
  const QuantizedMatrix& first = parts.front();
  std::vector<Tensor> codes, scales, biases;
  for (const QuantizedMatrix& part : parts) {
    if (part.format() != first.format() || part.tensor_amax() != first.tensor_amax())
      fail(ErrorKind::kUsage, "concatenate: formats differ: {} and {}{}",
           first.format().to_string(), part.format().to_string(),
           part.format() == first.format() ? ", with different tensor scales" : "");
    codes.push_back(part.codes());
    scales.push_back(part.scales());
    if (part.biases()) biases.push_back(*part.biases());
  }
  QuantizedParts joined{concatenate(codes, axis), concatenate(scales, axis)};
  if (!biases.empty()) joined.biases = concatenate(biases, axis);
  joined.tensor_amax = first.tensor_amax();
  return QuantizedMatrix::make("concatenate", first.format(), std::move(joined));
}

}  // namespace strake
