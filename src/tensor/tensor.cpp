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
    case DeviceKind::kCuda:
      return "cuda:" + std::to_string(device.index);
  }
  return "";
}

Tensor::Tensor(DType dtype, const Shape& shape, Device device, Storage bytes)
    : dtype_(dtype), shape_(shape), device_(device), bytes_(std::move(bytes)) {}

Tensor Tensor::empty(DType dtype, const Shape& shape, const Place& place) {
  const auto bytes = checked_mul<int64_t>(shape.elements(), size_of(dtype));
  if (!bytes) fail(ErrorKind::kUsage, "a tensor of shape {} is too large", shape.to_string());
  return {
      dtype, shape, place.device,
      place.device.kind == DeviceKind::kMeta ? Storage() : Storage::allocate(place.memory, *bytes)};
}

Tensor Tensor::zeros(DType dtype, const Shape& shape, const Place& place) {
  Tensor tensor = empty(dtype, shape, place);
  std::byte* const data = tensor.bytes_.data();
  if (data == nullptr) return tensor;
  if (tensor.memory() != nullptr)
    tensor.memory()->clear(data, tensor.nbytes());
  else
    std::memset(data, 0, static_cast<size_t>(tensor.nbytes()));
  return tensor;
}

Tensor Tensor::beside(DType dtype, const Shape& shape) const {
  const auto bytes = checked_mul<int64_t>(shape.elements(), size_of(dtype));
  if (!bytes) fail(ErrorKind::kUsage, "a tensor of shape {} is too large", shape.to_string());
  return {
      dtype, shape, device_,
      device_.kind == DeviceKind::kMeta ? Storage() : Storage::allocate(bytes_.memory(), *bytes)};
}

Tensor Tensor::copy_of(DType dtype, std::span<const std::byte> bytes, const Shape& shape) {
  Tensor tensor = empty(dtype, shape);
  if (static_cast<int64_t>(bytes.size()) != tensor.nbytes())
    fail(ErrorKind::kUsage, "shape {} has {} elements, {} were given", tensor.shape().to_string(),
         tensor.elements(), bytes.size() / static_cast<size_t>(size_of(dtype)));
  if (!bytes.empty()) std::memcpy(tensor.bytes_.data(), bytes.data(), bytes.size());
  return tensor;
}

void Tensor::require_bytes() const {
  if (device_.kind == DeviceKind::kMeta)
    fail(ErrorKind::kInternal, "a meta tensor of shape {} has no bytes", shape_.to_string());
}

void Tensor::require(DType dtype) const {
  if (dtype != dtype_)
    fail(ErrorKind::kInternal, "a tensor of {} was read as {}", strake::to_string(dtype_),
         strake::to_string(dtype));
  require_bytes();
  if (device_.kind != DeviceKind::kCpu)
    fail(ErrorKind::kInternal, "a tensor on {} was read by the host", strake::to_string(device_));
}

std::span<const std::byte> Tensor::bytes() const {
  require_bytes();
  return {bytes_.data(), static_cast<size_t>(nbytes())};
}

std::span<std::byte> Tensor::mutable_bytes() {
  require_bytes();
  return {bytes_.data(), static_cast<size_t>(nbytes())};
}

namespace {

void copy_rows(Memory* memory, const RowsToCopy& rows) {
  if (rows.row_bytes == 0 || rows.rows == 0) return;
  if (memory != nullptr) return memory->copy_rows(rows);
  for (int64_t i = 0; i < rows.rows; ++i)
    std::memcpy(rows.to + i * rows.to_stride, rows.from + i * rows.from_stride,
                static_cast<size_t>(rows.row_bytes));
}

}  // namespace

Tensor Tensor::reshape(const Shape& shape) const {
  if (shape.elements() != elements())
    fail(ErrorKind::kUsage, "cannot reshape {} to {}", shape_.to_string(), shape.to_string());
  return {dtype_, shape, device_, bytes_};
}

void Tensor::assign(int axis, int64_t begin, const Tensor& part) {
  if (axis < 0) axis += shape_.rank();
  const int64_t extent = part.shape()[axis];
  if (part.dtype() != dtype_ || part.device() != device_ ||
      part.shape() != shape_.with(axis, extent) || begin < 0 || begin + extent > shape_[axis])
    fail(ErrorKind::kUsage, "assign at {} of axis {}: {} {} does not fit {} {}", begin, axis,
         strake::to_string(part.dtype()), part.shape().to_string(), strake::to_string(dtype_),
         shape_.to_string());
  if (device_.kind == DeviceKind::kMeta || part.nbytes() == 0) return;
  int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= shape_[i];
  const int64_t stride = nbytes() / outer, row = part.nbytes() / outer;
  copy_rows(memory(), {part.bytes_.data(), row, bytes_.data() + stride / shape_[axis] * begin,
                       stride, row, outer});
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
  Tensor result = beside(dtype_, shape);
  const int64_t row = (end - begin) * inner;
  copy_rows(memory(),
            {bytes_.data() + begin * inner, extent * inner, result.bytes_.data(), row, row, outer});
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
  Tensor result = beside(dtype, shape_);
  if (device_.kind == DeviceKind::kMeta || elements() == 0) return result;
  if (memory() != nullptr) {
    memory()->convert(bytes_.data(), dtype_, result.bytes_.data(), dtype, elements());
    return result;
  }
  if (dtype_ == DType::kF32) convert_to<float>(*this, result);
  if (dtype_ == DType::kF16) convert_to<F16>(*this, result);
  if (dtype_ == DType::kBF16) convert_to<Bf16>(*this, result);
  return result;
}

Tensor Tensor::at(const Place& place) const {
  if (place.device == device_ || device_.kind == DeviceKind::kMeta) return *this;
  if (device_.kind != DeviceKind::kCpu || place.memory == nullptr)
    fail(ErrorKind::kInternal, "a tensor cannot be moved from {} to {}", strake::to_string(device_),
         strake::to_string(place.device));
  Tensor result = empty(dtype_, shape_, place);
  if (elements() > 0) place.memory->upload(bytes(), result.bytes_.data());
  return result;
}

Tensor Tensor::on_host(const Await& await) const {
  if (memory() == nullptr) return *this;
  Tensor result = empty(dtype_, shape_);
  if (elements() > 0) memory()->download(bytes_.data(), result.mutable_bytes(), await);
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
  Tensor result = first.beside(first.dtype(), first.shape().with(axis, extent));
  if (first.device().kind == DeviceKind::kMeta || result.nbytes() == 0) return result;
  int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= first.shape()[i];
  const int64_t stride = result.nbytes() / outer;
  std::byte* to = result.bytes_.data();
  for (const Tensor& part : parts) {
    const int64_t row = part.nbytes() / outer;
    copy_rows(result.memory(), {part.bytes_.data(), row, to, stride, row, outer});
    to += row;
  }
  return result;
}

}  // namespace strake
