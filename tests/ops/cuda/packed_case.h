// Random weights as a checkpoint has them, on both sides: decoded on the CPU, packed on the device.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <vector>

#include "ops/cuda/device_memory.h"
#include "ops/cuda/few_rows.h"
#include "ops/cuda/pack.h"
#include "quant/format_list.h"
#include "strake/quant/quantize.h"
#include "strake/quant/quantized_matrix.h"

namespace strake::cuda {

using Random = std::mt19937_64;

inline int64_t draw(Random& random, int64_t first, int64_t last) {
  return std::uniform_int_distribution<int64_t>(first, last)(random);
}
inline float draw_normal(Random& random) { return std::normal_distribution<float>()(random); }

// A value rounded to a floating dtype, as its bytes.
inline void store_as(DType dtype, float value, std::byte* to) {
  if (dtype == DType::kF32) std::memcpy(to, &value, 4);
  if (dtype == DType::kF16) {
    const F16 half = to_f16(value);
    std::memcpy(to, &half, 2);
  }
  if (dtype == DType::kBF16) {
    const Bf16 half = to_bf16(value);
    std::memcpy(to, &half, 2);
  }
}

// A weight [rows, inputs] or [matrices, rows, inputs]: quantized, or dense of `dtype`.
struct HostWeight {
  std::optional<QuantizedMatrix> quantized;
  Tensor dense = Tensor::zeros(DType::kF32, {0});
  DType dtype;  // of dense elements, or of affine scales

  const Shape& shape() const { return quantized ? quantized->shape() : dense.shape(); }
  // float32, row-major.
  std::vector<float> values() const {
    const Tensor all = quantized ? dequantize(*quantized, DType::kF32) : dense.to(DType::kF32);
    const auto data = all.data<float>();
    return {data.begin(), data.end()};
  }
  // Of each element, what rounding may be relative to: the value, and the bias taken away again.
  std::vector<float> magnitudes() const {
    std::vector<float> found = values();
    for (float& value : found) value = std::fabs(value);
    if (quantized && quantized->biases()) {
      const Tensor biases = quantized->biases()->to(DType::kF32);
      const int64_t group = quantized->format().group_size();
      for (size_t i = 0; i < found.size(); ++i)
        found[i] += 2 * std::fabs(biases.data<float>()[i / static_cast<size_t>(group)]);
    }
    return found;
  }
  HostWeight columns(int64_t begin, int64_t end) const {
    HostWeight part{{}, dense, dtype};
    if (quantized)
      part.quantized = quantized->slice(-1, begin, end);
    else
      part.dense = dense.slice(-1, begin, end);
    return part;
  }
};

inline HostWeight random_dense(Random& random, DType dtype, Shape shape) {
  HostWeight weight{{}, Tensor::empty(dtype, shape), dtype};
  const auto size = static_cast<size_t>(size_of(dtype));
  for (size_t i = 0; i < static_cast<size_t>(shape.elements()); ++i)
    store_as(dtype, draw_normal(random), weight.dense.mutable_bytes().data() + i * size);
  return weight;
}

// Any codes; e8m0 scales of which some need two steps; any e4m3 scales.
inline HostWeight random_quantized(Random& random, Format format, DType scales, Shape shape) {
  const int64_t groups = shape[-1] / format.group_size();
  QuantizedParts parts{
      Tensor::empty(DType::kU32, shape.with(-1, format.words(shape[-1]))),
      Tensor::empty(format.has_biases() ? scales : DType::kU8, shape.with(-1, groups))};
  for (uint32_t& word : parts.codes.mutable_data<uint32_t>())
    word = static_cast<uint32_t>(random());
  if (format.has_biases()) {
    parts.biases = Tensor::empty(scales, parts.scales.shape());
    const auto size = static_cast<size_t>(size_of(scales));
    for (size_t i = 0; i < static_cast<size_t>(parts.scales.elements()); ++i) {
      const float scale = 0.02f * draw_normal(random);
      store_as(scales, scale, parts.scales.mutable_bytes().data() + i * size);
      store_as(scales,
               -scale * static_cast<float>(1 << (format.bits() - 1)) + 0.05f * draw_normal(random),
               parts.biases->mutable_bytes().data() + i * size);
    }
  } else {
    for (uint8_t& byte : parts.scales.mutable_data<uint8_t>())
      byte = static_cast<uint8_t>(format.mode() == Mode::kNvfp4 ? draw(random, 0, 255)
                                                                : draw(random, 110, 135));
    if (format.mode() == Mode::kNvfp4) parts.tensor_amax = 1000.0f + 10 * draw_normal(random);
  }
  return {QuantizedMatrix::make("random", format, std::move(parts)),
          Tensor::zeros(DType::kF32, {0}), scales};
}

// On the device, in fragment order.
struct DeviceWeight {
  DeviceBytes codes;
  DeviceBytes scales;
  PackedWeight packed;

  DeviceWeight(const HostWeight& weight, const Leaves& leaves) {
    const Shape& shape = weight.shape();
    const int64_t matrices = shape.rank() == 3 ? shape[0] : 1;
    const QuantizedMatrix* const matrix = weight.quantized ? &*weight.quantized : nullptr;
    packed.shape = {matrix ? packed_format(matrix->format(), weight.dtype) : kPackedDense,
                    static_cast<int32_t>(shape[-2]), leaves};
    packed.dtype = weight.dtype;
    packed.tensor_scale = matrix ? matrix->tensor_scale() : 1.0f;
    codes = DeviceBytes(matrices * packed.shape.code_bytes());
    scales = DeviceBytes(matrices * packed.shape.scale_bytes());
    codes.fill(0xff);
    scales.fill(0xff);
    const auto source = [](const Tensor& tensor) { return DeviceBytes::of(tensor.bytes()); };
    const DeviceBytes from_codes = source(matrix ? matrix->codes() : weight.dense);
    const DeviceBytes from_scales = matrix ? source(matrix->scales()) : DeviceBytes();
    const DeviceBytes from_biases =
        matrix && matrix->biases() ? source(*matrix->biases()) : DeviceBytes();
    pack(packed.shape,
         {from_codes.data(), from_scales.data(), from_biases.data(), matrices * shape[-2],
          shape[-2]},
         {codes.data(), scales.data()}, nullptr);
    check(cudaDeviceSynchronize(), "pack");
    packed.codes = codes.data();
    packed.scales = scales.data();
  }
};

// Activations [rows, width] of bfloat16 or float16, with their values.
struct DeviceRows {
  DType dtype;
  int64_t stride;
  std::vector<float> values;
  DeviceBytes bytes;

  // Rows stand `padding` elements apart, which are not numbers.
  static DeviceRows random(Random& random, DType dtype, int64_t rows, int64_t width,
                           int64_t padding) {
    std::vector<float> values(static_cast<size_t>(rows * width));
    for (float& value : values) value = draw_normal(random);
    return of(dtype, std::move(values), width, padding);
  }
  static DeviceRows of(DType dtype, std::vector<float> values, int64_t width, int64_t padding) {
    const int64_t rows = static_cast<int64_t>(values.size()) / width;
    std::vector<std::byte> stored(static_cast<size_t>(rows * (width + padding)) * 2,
                                  std::byte{0xff});
    for (int64_t i = 0; i < rows * width; ++i) {
      std::byte* const to = stored.data() + (i / width * (width + padding) + i % width) * 2;
      float& value = values[static_cast<size_t>(i)];
      store_as(dtype, value, to);
      uint16_t bits;
      std::memcpy(&bits, to, 2);
      value = dtype == DType::kF16 ? to_float(F16{bits}) : to_float(Bf16{bits});
    }
    return {dtype, width + padding, std::move(values), DeviceBytes::of(stored)};
  }
  const uint16_t* row(int64_t index) const { return bytes.data<uint16_t>() + index * stride; }
};

}  // namespace strake::cuda
