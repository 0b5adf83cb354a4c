#include "strake/tensor/tensor.h"

#include <cstring>

#include "base/checked.h"
#include "base/fail.h"

namespace strake {
std::string to_string(Device device) {
  switch (device.kind) {
    case DeviceKind::kCpu:
      return "cpu";
    case DeviceKind::kMeta:
      return "meta";
  }
  return "";
}

Tensor::Tensor(DType dtype, const Shape& shape, Device device, Storage bytes)
    : dtype_(dtype), shape_(shape), device_(device), bytes_(std::move(bytes)) {}

Tensor Tensor::empty(DType dtype, const Shape& shape, Device device) {
  const auto bytes = checked_mul<int64_t>(shape.elements(), size_of(dtype));
  if (!bytes) fail(ErrorKind::kUsage, "a tensor of shape {} is too large", shape.to_string());
  return {dtype, shape, device,
          device.kind == DeviceKind::kMeta ? Storage() : Storage::allocate(*bytes)};
}

Tensor Tensor::zeros(DType dtype, const Shape& shape, Device device) {
  Tensor tensor = empty(dtype, shape, device);
  if (std::byte* const data = tensor.bytes_.data(); data != nullptr)
    std::memset(data, 0, static_cast<size_t>(tensor.nbytes()));
  return tensor;
}

Tensor Tensor::copy_of(DType dtype, std::span<const std::byte> bytes, const Shape& shape) {
  Tensor tensor = empty(dtype, shape);
  if (static_cast<int64_t>(bytes.size()) != tensor.nbytes())
    fail(ErrorKind::kUsage, "shape {} has {} elements, {} were given", tensor.shape().to_string(),
         tensor.elements(), bytes.size() / static_cast<size_t>(size_of(dtype)));
  if (!bytes.empty()) std::memcpy(tensor.bytes_.data(), bytes.data(), bytes.size());
  return tensor;
}

void Tensor::require(DType dtype) const {
  if (dtype != dtype_)
    fail(ErrorKind::kInternal, "a tensor of {} was read as {}", strake::to_string(dtype_),
         strake::to_string(dtype));
  if (device_.kind == DeviceKind::kMeta)
    fail(ErrorKind::kInternal, "a meta tensor of shape {} has no bytes", shape_.to_string());
}

std::span<const std::byte> Tensor::bytes() const {
  require(dtype_);
  return {bytes_.data(), static_cast<size_t>(nbytes())};
}

std::span<std::byte> Tensor::mutable_bytes() {
  require(dtype_);
  return {bytes_.data(), static_cast<size_t>(nbytes())};
}

Tensor Tensor::reshape(const Shape& shape) const {
  if (shape.elements() != elements())
    fail(ErrorKind::kUsage, "cannot reshape {} to {}", shape_.to_string(), shape.to_string());
  return {dtype_, shape, device_, bytes_};
}

Tensor Tensor::slice(int axis, int64_t begin, int64_t end) const {
  if (axis < 0) axis += shape_.rank();
  const int64_t extent = shape_[axis];
  if (begin < 0 || end < begin || end > extent)
    fail(ErrorKind::kUsage, "slice [{}, {}) of axis {} of shape {}", begin, end, axis,
         shape_.to_string());
  const Shape shape = shape_.with(axis, end - begin);
  if (device_.kind == DeviceKind::kMeta) return {dtype_, shape, device_, Storage()};
  int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= shape_[i];
  int64_t inner = size_of(dtype_);  // bytes a step along the axis
  for (int i = axis + 1; i < shape_.rank(); ++i) inner *= shape_[i];
  if (outer == 1) return {dtype_, shape, device_, bytes_.from(begin * inner)};
  Tensor result = empty(dtype_, shape, device_);
  const auto row = static_cast<size_t>((end - begin) * inner);
  for (int64_t i = 0; i < outer && row > 0; ++i)
    std::memcpy(result.bytes_.data() + i * static_cast<int64_t>(row),
                bytes_.data() + (i * extent + begin) * inner, row);
  return result;
}

namespace {

template <class From, class To>
void convert(const Tensor& from, Tensor& to) {
  const auto in = from.data<From>();
  const auto out = to.mutable_data<To>();
  for (size_t i = 0; i < in.size(); ++i) out[i] = from_float<To>(to_float(in[i]));
}

template <class From>
void convert_to(const Tensor& from, Tensor& to) {
  if (to.dtype() == DType::kF32) return convert<From, float>(from, to);
  if (to.dtype() == DType::kF16) return convert<From, F16>(from, to);
  return convert<From, Bf16>(from, to);
}

}  // namespace

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  if (!is_floating(dtype) || !is_floating(dtype_))
    fail(ErrorKind::kUsage, "cannot convert {} to {}", strake::to_string(dtype_),
         strake::to_string(dtype));
  Tensor result = empty(dtype, shape_, device_);
  if (device_.kind == DeviceKind::kMeta) return result;
  if (dtype_ == DType::kF32) convert_to<float>(*this, result);
  if (dtype_ == DType::kF16) convert_to<F16>(*this, result);
  if (dtype_ == DType::kBF16) convert_to<Bf16>(*this, result);
  return result;
}

Tensor concatenate(std::span<const Tensor> parts, int axis) {
  if (parts.empty()) fail(ErrorKind::kUsage, "concatenate: nothing to join");
  const Tensor& first = parts.front();
  if (axis < 0) axis += first.shape().rank();
  int64_t extent = 0;
  for (const Tensor& part : parts) {
    if (part.dtype() != first.dtype() || part.device() != first.device() ||
        part.shape().rank() != first.shape().rank() ||
        part.shape().with(axis, 0) != first.shape().with(axis, 0))
      fail(ErrorKind::kUsage, "concatenate on axis {}: {} {} does not fit {} {}", axis,
           to_string(part.dtype()), part.shape().to_string(), to_string(first.dtype()),
           first.shape().to_string());
    extent += part.shape()[axis];
  }
  Tensor result = Tensor::empty(first.dtype(), first.shape().with(axis, extent), first.device());
  if (first.device().kind == DeviceKind::kMeta || result.nbytes() == 0) return result;
  int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= first.shape()[i];
  auto out = result.mutable_bytes();
  size_t at = 0;
  for (int64_t i = 0; i < outer; ++i) {
    for (const Tensor& part : parts) {
      const auto bytes = part.bytes();
      const size_t row = bytes.size() / static_cast<size_t>(outer);
      if (row > 0) std::memcpy(out.data() + at, bytes.data() + static_cast<size_t>(i) * row, row);
      at += row;
    }
  }
  return result;
}

}  // namespace strake
