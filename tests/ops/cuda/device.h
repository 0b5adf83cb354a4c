// Arrays in device memory, and random numbers that differ from run to run.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "ops/cuda/launch.h"
#include "strake/base/half.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

// Bytes in device memory; all ones before anything is written: NaN in every floating type, and
// indices of -1.
class DeviceBytes {
 public:
  explicit DeviceBytes(size_t bytes) : bytes_(bytes) {
    check(cudaMalloc(&data_, bytes_ + kGuard), "cudaMalloc");
    check(cudaMemset(data_, 0xff, bytes_ + kGuard), "cudaMemset");
  }
  DeviceBytes(DeviceBytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
  ~DeviceBytes() { cudaFree(data_); }

  void* data() const { return data_; }
  size_t size() const { return bytes_; }
  // Whether what follows the bytes is as it was.
  bool is_guard_whole() const {
    std::vector<uint8_t> guard(kGuard);
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    check(cudaMemcpy(guard.data(), static_cast<uint8_t*>(data_) + bytes_, kGuard,
                     cudaMemcpyDeviceToHost),
          "cudaMemcpy");
    for (const uint8_t byte : guard)
      if (byte != 0xff) return false;
    return true;
  }

 private:
  static constexpr size_t kGuard = 256;
  void* data_ = nullptr;
  size_t bytes_;
};

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : bytes_(count * sizeof(T)) {}
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) { set(values); }

  T* data() const { return static_cast<T*>(bytes_.data()); }
  size_t size() const { return bytes_.size() / sizeof(T); }
  bool is_guard_whole() const { return bytes_.is_guard_whole(); }
  void set(const std::vector<T>& values) {
    check(cudaMemcpy(data(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
          "cudaMemcpy");
  }
  std::vector<T> get() const {
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    std::vector<T> values(size());
    check(cudaMemcpy(values.data(), data(), bytes_.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return values;
  }

 private:
  DeviceBytes bytes_;
};

// Floating elements of a dtype that is known at run time.
class DeviceFloats {
 public:
  DeviceFloats(DType dtype, size_t count)
      : dtype_(dtype), count_(count), bytes_(count * static_cast<size_t>(size_of(dtype))) {}
  DeviceFloats(DType dtype, const std::vector<float>& values) : DeviceFloats(dtype, values.size()) {
    std::vector<uint16_t> halves;
    for (const float value : values)
      halves.push_back(dtype == DType::kF16 ? to_f16(value).bits : to_bf16(value).bits);
    if (dtype == DType::kF32)
      copy(values);
    else
      copy(halves);
  }

  void* data() const { return bytes_.data(); }
  DType dtype() const { return dtype_; }
  size_t size() const { return count_; }
  bool is_guard_whole() const { return bytes_.is_guard_whole(); }
  std::vector<float> get() const {
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    std::vector<uint8_t> raw(bytes_.size());
    check(cudaMemcpy(raw.data(), data(), raw.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    std::vector<float> values(count_);
    for (size_t i = 0; i < count_; ++i) {
      if (dtype_ == DType::kF32) values[i] = reinterpret_cast<const float*>(raw.data())[i];
      const auto* const halves = reinterpret_cast<const uint16_t*>(raw.data());
      if (dtype_ == DType::kF16) values[i] = strake::to_float(F16{halves[i]});
      if (dtype_ == DType::kBF16) values[i] = strake::to_float(Bf16{halves[i]});
    }
    return values;
  }

 private:
  template <class T>
  void copy(const std::vector<T>& values) {
    check(cudaMemcpy(data(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
          "cudaMemcpy");
  }
  DType dtype_;
  size_t count_;
  DeviceBytes bytes_;
};

// Fresh numbers each run; STRAKE_SEED repeats one.
inline std::mt19937_64& generator() {
  static std::mt19937_64 engine = [] {
    const char* const text = std::getenv("STRAKE_SEED");
    const uint64_t seed =
        text != nullptr ? std::strtoull(text, nullptr, 10) : std::random_device()();
    std::printf("STRAKE_SEED=%llu\n", static_cast<unsigned long long>(seed));
    return std::mt19937_64(seed);
  }();
  return engine;
}

// Normal numbers, rounded to a dtype.
inline std::vector<float> random_floats(size_t count, DType dtype = DType::kF32, float scale = 1) {
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(count);
  for (float& value : values) {
    value = normal(generator());
    if (dtype == DType::kF16) value = strake::to_float(to_f16(value));
    if (dtype == DType::kBF16) value = strake::to_float(to_bf16(value));
  }
  return values;
}

// ||found - expected|| / ||expected||; NaN where there is one.
inline double relative_error(std::span<const float> found, std::span<const double> expected) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += (found[i] - expected[i]) * (found[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(difference / norm);
}

}  // namespace strake::cuda
