// A dense array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "strake/tensor/device.h"
#include "strake/tensor/dtype.h"
#include "strake/tensor/memory.h"
#include "strake/tensor/shape.h"
#include "strake/tensor/storage.h"

namespace strake {

// Row-major and contiguous. Copies share their bytes; nothing is ever copied between devices or
// converted without being asked for.
class Tensor {
 public:
  // Bytes are uninitialized and aligned to 64 (to 2 MiB pages when large). On Device::meta()
  // there are none. Throws Error(kSystem) when memory is short.
  static Tensor empty(DType dtype, const Shape& shape, const Place& place = Device::cpu());
  static Tensor zeros(DType dtype, const Shape& shape, const Place& place = Device::cpu());
  // A copy of `values`. Throws Error(kUsage) when their number does not match the shape.
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  Device device() const { return device_; }
  // Uninitialized, where this tensor is.
  Tensor beside(DType dtype, const Shape& shape) const;
  int64_t elements() const { return shape_.elements(); }
  int64_t nbytes() const { return elements() * size_of(dtype_); }

  // The elements. Throws Error(kInternal) when T is not the dtype or the device is not the CPU.
  template <class T>
  std::span<const T> data() const;
  template <class T>
  std::span<T> mutable_data();
  // Of a device's tensor, addresses there. Throws Error(kInternal) on Device::meta().
  std::span<const std::byte> bytes() const;
  std::span<std::byte> mutable_bytes();

  // The same bytes under another shape of as many elements.
  Tensor reshape(const Shape& shape) const;
  // Elements [begin, end) of an axis: shares the bytes on the outermost axis, copies on others.
  Tensor slice(int axis, int64_t begin, int64_t end) const;
  // Elements [begin, begin + the part's) of an axis become the part's.
  void assign(int axis, int64_t begin, const Tensor& part);
  // Floating to floating, rounded to nearest even. Throws Error(kUsage) for other dtypes.
  Tensor to(DType dtype) const;
  // A tensor of the host copied to a device's memory; this one where it is to lie anyway.
  Tensor at(const Place& place) const;
  // The other way; the copy is there on return.
  Tensor on_host(const Await& await) const;

 private:
  Tensor(DType dtype, const Shape& shape, Device device, Storage bytes);
  friend Tensor concatenate(std::span<const Tensor> parts, int axis);
  static Tensor copy_of(DType dtype, std::span<const std::byte> bytes, const Shape& shape);
  void require(DType dtype) const;
  void require_bytes() const;
  Memory* memory() const { return bytes_.memory().get(); }  // nullptr: the host's

  DType dtype_;
  Shape shape_;
  Device device_;
  Storage bytes_;
};

// Joins along `axis`. Throws Error(kUsage) when dtypes or other extents differ.
Tensor concatenate(std::span<const Tensor> parts, int axis);

template <class T>
Tensor Tensor::from(std::span<const T> values, const Shape& shape) {
  return copy_of(dtype_of<T>, std::as_bytes(values), shape);
}

template <class T>
std::span<const T> Tensor::data() const {
  require(dtype_of<T>);
  return {reinterpret_cast<const T*>(bytes_.data()), static_cast<size_t>(elements())};
}

template <class T>
std::span<T> Tensor::mutable_data() {
  require(dtype_of<T>);
  return {reinterpret_cast<T*>(bytes_.data()), static_cast<size_t>(elements())};
}

}  // namespace strake
