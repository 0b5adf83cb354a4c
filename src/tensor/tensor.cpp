#include "strake/tensor/tensor.h"

#include <sys/mman.h>

#include <cstring>
#include <memory>
#include <new>

#include "base/checked.h"
#include "base/fail.h"

namespace strake {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

[[noreturn]] void out_of_memory(int64_t bytes) {
  fail(ErrorKind::kSystem, "out of memory: {} bytes for a tensor", bytes);
}

// Whole pages of the system's own, which take a freed tensor back at once: the heap would keep
// holes, as large as the tensors that stood there while weights were laid out anew.
std::shared_ptr<std::byte> map_pages(int64_t bytes) {
  const auto size = static_cast<size_t>(bytes);
  const size_t mapped = size + kHugePage;
  void* const base =
      ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) out_of_memory(bytes);
  void* data = base;
  size_t room = mapped;
  std::align(kHugePage, size, data, room);
  // Kernels that stream weights run a quarter faster from huge pages.
  ::madvise(data, size, MADV_HUGEPAGE);
  return {static_cast<std::byte*>(data), [base, mapped](std::byte*) { ::munmap(base, mapped); }};
}

std::shared_ptr<std::byte> allocate(int64_t bytes) {
  if (bytes == 0) return nullptr;
  if (bytes >= static_cast<int64_t>(kHugePage)) return map_pages(bytes);
  constexpr auto kAlignment = std::align_val_t{64};
  auto* data =
      static_cast<std::byte*>(::operator new(static_cast<size_t>(bytes), kAlignment, std::nothrow));
  if (data == nullptr) out_of_memory(bytes);
  return {data, [](std::byte* p) { ::operator delete(p, kAlignment); }};
}

}  // namespace

std::string to_string(Device device) {
  switch (device.kind) {
    case DeviceKind::kCpu:
      return "cpu";
    case DeviceKind::kMeta:
      return "meta";
  }
  return "";
}

Shape::Shape(std::vector<int64_t> extents) : extents_(std::move(extents)) {
  const auto product = checked_product(extents_);
  if (!product)
    fail(ErrorKind::kUsage, "shape {}: extents must be at least 0 and their product below 2^63",
         to_string());
  elements_ = *product;
}

int Shape::position(int axis) const {
  const int position = axis < 0 ? axis + rank() : axis;
  if (position < 0 || position >= rank())
    fail(ErrorKind::kInternal, "axis {} of a shape of rank {}", axis, rank());
  return position;
}

int64_t Shape::operator[](int axis) const { return extents_[static_cast<size_t>(position(axis))]; }

Shape Shape::with(int axis, int64_t extent) const {
  auto extents = extents_;
  extents[static_cast<size_t>(position(axis))] = extent;
  return Shape(std::move(extents));
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (size_t i = 0; i < extents_.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(extents_[i]);
  return text + "]";
}

Tensor::Tensor(DType dtype, Shape shape, Device device, std::shared_ptr<std::byte> bytes)
    : dtype_(dtype), shape_(std::move(shape)), device_(device), bytes_(std::move(bytes)) {}

Tensor Tensor::empty(DType dtype, Shape shape, Device device) {
  const auto bytes = checked_mul<int64_t>(shape.elements(), size_of(dtype));
  if (!bytes) fail(ErrorKind::kUsage, "a tensor of shape {} is too large", shape.to_string());
  auto data = device.kind == DeviceKind::kMeta ? nullptr : allocate(*bytes);
  return {dtype, std::move(shape), device, std::move(data)};
}

Tensor Tensor::zeros(DType dtype, Shape shape, Device device) {
  Tensor tensor = empty(dtype, std::move(shape), device);
  if (tensor.bytes_) std::memset(tensor.bytes_.get(), 0, static_cast<size_t>(tensor.nbytes()));
  return tensor;
}

Tensor Tensor::copy_of(DType dtype, std::span<const std::byte> bytes, Shape shape) {
  Tensor tensor = empty(dtype, std::move(shape));
  if (static_cast<int64_t>(bytes.size()) != tensor.nbytes())
    fail(ErrorKind::kUsage, "shape {} has {} elements, {} were given", tensor.shape().to_string(),
         tensor.elements(), bytes.size() / static_cast<size_t>(size_of(dtype)));
  if (!bytes.empty()) std::memcpy(tensor.bytes_.get(), bytes.data(), bytes.size());
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
  return {bytes_.get(), static_cast<size_t>(nbytes())};
}

std::span<std::byte> Tensor::mutable_bytes() {
  require(dtype_);
  return {bytes_.get(), static_cast<size_t>(nbytes())};
}

Tensor Tensor::reshape(Shape shape) const {
  if (shape.elements() != elements())
    fail(ErrorKind::kUsage, "cannot reshape {} to {}", shape_.to_string(), shape.to_string());
  return {dtype_, std::move(shape), device_, bytes_};
}

Tensor Tensor::slice(int axis, int64_t begin, int64_t end) const {
  if (axis < 0) axis += shape_.rank();
  const int64_t extent = shape_[axis];
  if (begin < 0 || end < begin || end > extent)
    fail(ErrorKind::kUsage, "slice [{}, {}) of axis {} of shape {}", begin, end, axis,
         shape_.to_string());
  Shape shape = shape_.with(axis, end - begin);
  if (device_.kind == DeviceKind::kMeta) return {dtype_, std::move(shape), device_, nullptr};
  int64_t outer = 1;
  for (int i = 0; i < axis; ++i) outer *= shape_[i];
  int64_t inner = size_of(dtype_);  // bytes a step along the axis
  for (int i = axis + 1; i < shape_.rank(); ++i) inner *= shape_[i];
  if (outer == 1) {
    std::shared_ptr<std::byte> view(bytes_, bytes_.get() + begin * inner);
    return {dtype_, std::move(shape), device_, std::move(view)};
  }
  Tensor result = empty(dtype_, std::move(shape), device_);
  const auto row = static_cast<size_t>((end - begin) * inner);
  for (int64_t i = 0; i < outer && row > 0; ++i)
    std::memcpy(result.bytes_.get() + i * static_cast<int64_t>(row),
                bytes_.get() + (i * extent + begin) * inner, row);
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
