// Floating elements in device memory, and random numbers that differ from run to run.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <span>
#include <vector>

#include "ops/cuda/device_memory.h"
#include "strake/base/half.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

// Floating elements of a dtype that is known at run time.
class DeviceFloats {
 public:
  DeviceFloats(DType dtype, size_t count)
      : dtype_(dtype), count_(count), bytes_(static_cast<int64_t>(count) * size_of(dtype)) {}
  DeviceFloats(DType dtype, const std::vector<float>& values) : DeviceFloats(dtype, values.size()) {
    std::vector<uint16_t> halves;
    for (const float value : values)
      halves.push_back(dtype == DType::kF16 ? to_f16(value).bits : to_bf16(value).bits);
    if (dtype == DType::kF32)
      bytes_.set(std::span(values));
    else
      bytes_.set(std::span<const uint16_t>(halves));
  }

  void* data() const { return bytes_.data(); }
  DType dtype() const { return dtype_; }
  size_t size() const { return count_; }
  bool is_guard_whole() const { return bytes_.is_guard_whole(); }
  std::vector<float> get() const {
    const auto raw = bytes_.get<uint8_t>();
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
