// Four-bit weights as compressed-tensors packs them (`weight_packed`): the codes of affine, with an
// offset of 8 for the whole tensor.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/fail.h"
#include "io/checkpoint.h"

namespace strake {
namespace {

constexpr float kZeroCode = 8;

// int32 words as the uint32 that affine's codes are.
Tensor unsigned_words(const Tensor& words) {
  Tensor result = Tensor::empty(DType::kU32, words.shape(), words.device());
  if (words.device().kind != DeviceKind::kMeta)
    std::ranges::copy(words.bytes(), result.mutable_bytes().begin());
  return result;
}

// -8 * scale is exact in every floating dtype that does not overflow.
Tensor offsets(const Tensor& scales) {
  if (scales.device().kind == DeviceKind::kMeta) return scales;
  Tensor biases = Tensor::empty(DType::kF32, scales.shape());
  const Tensor factors = scales.to(DType::kF32);
  std::ranges::transform(factors.data<float>(), biases.mutable_data<float>().begin(),
                         [](float scale) { return -kZeroCode * scale; });
  return biases.to(scales.dtype());
}

// The shape that the checkpoint states for itself.
Shape stated_shape(std::string_view name, const Tensor& tensor) {
  if (tensor.elements() > Shape::kMaxRank)
    fail(ErrorKind::kCheckpoint, "{}: at most {} extents expected, found {}", name, Shape::kMaxRank,
         tensor.elements());
  std::vector<int64_t> extents;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const auto at = static_cast<size_t>(i);
    extents.push_back(tensor.dtype() == DType::kI64 ? tensor.data<int64_t>()[at]
                                                    : tensor.data<int32_t>()[at]);
  }
  return Shape(extents);
}

}  // namespace

Weight Checkpoint::packed(const std::string& module, const Shape& shape,
                          const std::optional<Cut>& cut) {
  const std::string codes = module + ".weight_packed";
  const std::string scales = module + ".weight_scale";
  const std::string stated = module + ".weight_shape";
  const auto& said = quantization().global();
  if (!said || said->mode() != Mode::kAffine || said->bits() != 4)
    fail(ErrorKind::kCheckpoint, "{}: config.json says {}, but there is a tensor {}", module,
         said ? said->to_string() : "that it is not quantized", codes);
  const auto format = this->format(module, shape[-1]);
  if (use(codes).dtype != DType::kI32 && use(codes).dtype != DType::kU32)
    fail(ErrorKind::kCheckpoint, "{}: I32 expected, found {}", codes, use(codes).stored_dtype);
  expect_shape(codes, shape.with(-1, format->words(shape[-1])));
  const int64_t group = format->group_size();
  const bool along = cut && (cut->axis == -1 || cut->axis == shape.rank() - 1);
  const int64_t logical = along ? group : 1;
  const Tensor factors =
      tensor(scales, shape.with(-1, shape[-1] / group), rescale(scales, cut, logical, 1));
  if (has(stated)) {
    const Tensor extents = read(stated, std::nullopt);
    if (extents.dtype() != DType::kI64 && extents.dtype() != DType::kI32)
      fail(ErrorKind::kCheckpoint, "{}: I64 or I32 expected, found {}", stated,
           to_string(extents.dtype()));
    if (device().kind != DeviceKind::kMeta)
      if (const Shape found = stated_shape(stated, extents); found != shape)
        fail(ErrorKind::kCheckpoint, "{}: {} expected, found {}", stated, shape.to_string(),
             found.to_string());
  }
  auto matrix = QuantizedMatrix::make(
      module, *format,
      {unsigned_words(read(codes, rescale(codes, cut, logical, along ? format->words(group) : 1))),
       factors, offsets(factors)});
  matrix.require_finite_scales(module);
  return matrix;
}

}  // namespace strake
