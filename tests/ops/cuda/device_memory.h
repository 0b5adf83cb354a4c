// Memory of a GPU, for tests.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "ops/cuda/launch.h"

namespace strake::cuda {

// Bytes, all ones before anything is written: NaN in every floating type, and indices of -1. As
// many follow that nothing may write.
class DeviceBytes {
 public:
  DeviceBytes() = default;
  explicit DeviceBytes(int64_t bytes) : bytes_(bytes) {
    check(cudaMalloc(&data_, static_cast<size_t>(bytes_ + kGuard)), "cudaMalloc");
    check(cudaMemset(data_, 0xff, static_cast<size_t>(bytes_ + kGuard)), "cudaMemset");
  }
  template <class T>
  static DeviceBytes of(std::span<const T> values) {
    DeviceBytes made(static_cast<int64_t>(values.size_bytes()));
    made.set(values);
    return made;
  }
  template <class T>
  static DeviceBytes of(const std::vector<T>& values) {
    return of(std::span<const T>(values));
  }
  DeviceBytes(DeviceBytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  DeviceBytes& operator=(DeviceBytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceBytes() { cudaFree(data_); }

  template <class T = void>
  T* data() const {
    return static_cast<T*>(data_);
  }
  int64_t size() const { return bytes_; }

  void fill(int byte) const {
    check(cudaMemset(data_, byte, static_cast<size_t>(bytes_)), "cudaMemset");
  }
  template <class T>
  void set(std::span<const T> values) const {
    check(cudaMemcpy(data_, values.data(), values.size_bytes(), cudaMemcpyHostToDevice),
          "copy to the device");
  }
  template <class T>
  std::vector<T> get() const {
    std::vector<T> values(static_cast<size_t>(bytes_) / sizeof(T));
    read(data_, std::as_writable_bytes(std::span(values)));
    return values;
  }
  // Whether what follows the bytes is as it was.
  bool is_guard_whole() const {
    std::vector<uint8_t> guard(kGuard);
    read(data<uint8_t>() + bytes_, std::as_writable_bytes(std::span(guard)));
    for (const uint8_t byte : guard)
      if (byte != 0xff) return false;
    return true;
  }

 private:
  static constexpr int64_t kGuard = 256;

  static void read(const void* from, std::span<std::byte> to) {
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    check(cudaMemcpy(to.data(), from, to.size(), cudaMemcpyDeviceToHost), "copy from the device");
  }

  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

// Elements of one type.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : bytes_(static_cast<int64_t>(count * sizeof(T))) {}
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) { set(values); }

  T* data() const { return bytes_.data<T>(); }
  size_t size() const { return static_cast<size_t>(bytes_.size()) / sizeof(T); }
  void fill(int byte) const { bytes_.fill(byte); }
  void set(const std::vector<T>& values) const { bytes_.set(std::span<const T>(values)); }
  std::vector<T> get() const { return bytes_.get<T>(); }
  bool is_guard_whole() const { return bytes_.is_guard_whole(); }

 private:
  DeviceBytes bytes_;
};

}  // namespace strake::cuda
