// Weights of random codes: as float32 values on the CPU, and packed on the GPU.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "ops/cuda/many_rows.h"
#include "ops/cuda/pack.h"
#include "quant/decode.h"
#include "tests/ops/cuda/device_memory.h"

namespace strake::cuda {

// A format and what its scales are stored as, or a dense weight's type.
struct MatrixKind {
  std::optional<Format> format;
  DType type;

  std::string name() const {
    const std::string stored(to_string(type));
    return format ? format->to_string() + " " + stored : "dense " + stored;
  }
  int group() const { return format ? format->group_size() : kTileInputs; }
  PackedFormat packed() const { return format ? packed_format(*format, type) : kPackedDense; }
  bool exact() const { return !format || format->mode() != Mode::kAffine; }
};

// 16 bits of `type` nearest to the value, and the value of that.
inline uint16_t to_half_bits(DType type, float value) {
  return type == DType::kF16 ? to_f16(value).bits : to_bf16(value).bits;
}
inline float half_value(DType type, uint16_t bits) {
  return type == DType::kF16 ? to_float(F16{bits}) : to_float(Bf16{bits});
}

// A checkpoint's arrays.
struct HostMatrix {
  MatrixKind kind;
  int64_t rows;
  int64_t columns;
  std::vector<uint8_t> codes, scales, biases;
  float tensor_scale = 1.0f;

  std::vector<float> values() const;
  // Columns [begin, end), whole groups.
  HostMatrix slice(int64_t begin, int64_t end) const;

 private:
  int64_t code_bits() const { return kind.format ? kind.format->bits() : 16; }
};

HostMatrix random_matrix(const MatrixKind& kind, int64_t rows, int64_t columns, std::mt19937& rng);

class DeviceMatrix {
 public:
  DeviceMatrix(const HostMatrix& from, const Leaves& leaves);
  PackedWeight weight() const {
    return {shape_, codes_.data(), scales_.data(), type_, tensor_scale_};
  }

 private:
  PackedShape shape_;
  DType type_;
  float tensor_scale_;
  DeviceArray<uint8_t> codes_, scales_;
};

}  // namespace strake::cuda
