// Arrays in the device's memory, for tests and measurements.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "ops/cuda/launch.h"

namespace strake::cuda {

class DeviceBytes {
 public:
  DeviceBytes() = default;
  explicit DeviceBytes(int64_t bytes) : bytes_(bytes) {
    if (bytes > 0) check(cudaMalloc(&memory_, static_cast<size_t>(bytes)), "device memory");
  }
  DeviceBytes(DeviceBytes&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  DeviceBytes& operator=(DeviceBytes&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceBytes() { cudaFree(memory_); }

  template <class T>
  static DeviceBytes of(std::span<const T> values) {
    DeviceBytes made(static_cast<int64_t>(values.size_bytes()));
    if (!values.empty())
      check(cudaMemcpy(made.memory_, values.data(), values.size_bytes(), cudaMemcpyHostToDevice),
            "copy to the device");
    return made;
  }
  template <class T>
  static DeviceBytes of(const std::vector<T>& values) {
    return of(std::span<const T>(values));
  }
  DeviceBytes& fill(int byte) {
    if (bytes_ > 0) check(cudaMemset(memory_, byte, static_cast<size_t>(bytes_)), "fill");
    return *this;
  }
  template <class T>
  std::vector<T> read() const {
    std::vector<T> values(static_cast<size_t>(bytes_) / sizeof(T));
    if (!values.empty())
      check(cudaMemcpy(values.data(), memory_, values.size() * sizeof(T), cudaMemcpyDeviceToHost),
            "copy from the device");
    return values;
  }

  template <class T = void>
  T* data() const {
    return static_cast<T*>(memory_);
  }
  int64_t size() const { return bytes_; }

 private:
  void* memory_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace strake::cuda
