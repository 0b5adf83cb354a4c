// The one rule by which a group's codes and scale become numbers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "quant/format_list.h"
#include "quant/packing.h"
#include "strake/quant/quantized_matrix.h"

namespace strake {

// Value of a code: scale * element + bias, each operation rounded to float32. The bias is there
// only where the format has one.
struct GroupScale {
  float scale;
  float bias = 0.0f;
};

template <class Spec>
constexpr float decode_value(uint8_t code, GroupScale scale) {
  const float product = scale.scale * Spec::Element::decode(code);
  if constexpr (Spec::kHasBiases) return product + scale.bias;
  return product;
}

// words [Spec::kWordsPerGroup] -> values [Spec::kGroupSize]
template <class Spec>
constexpr void decode_group(const uint32_t* words, GroupScale scale, float* values) {
  std::array<uint8_t, Spec::kGroupSize> codes{};
  unpack_group<Spec>(words, codes.data());
  for (int i = 0; i < Spec::kGroupSize; ++i)
    values[i] = decode_value<Spec>(codes[static_cast<size_t>(i)], scale);
}

// The scales of a matrix, group by group in row-major order. Spec is the matrix's format.
template <class Spec>
class GroupScales {
 public:
  explicit GroupScales(const QuantizedMatrix& matrix)
      : dtype_(matrix.scales().dtype()),
        scales_(matrix.scales().bytes().data()),
        biases_(matrix.biases() ? matrix.biases()->bytes().data() : nullptr),
        tensor_scale_(matrix.tensor_scale()) {}

  GroupScale operator[](int64_t group) const {
    if constexpr (Spec::kHasBiases)
      return {load(scales_, group), load(biases_, group)};
    else
      return {Spec::Scale::decode(static_cast<uint8_t>(scales_[group])) * tensor_scale_};
  }

 private:
  template <class T>
  static float load_as(const std::byte* base, int64_t index) {
    return to_float(reinterpret_cast<const T*>(base)[index]);
  }
  float load(const std::byte* base, int64_t index) const {
    if (dtype_ == DType::kF32) return load_as<float>(base, index);
    if (dtype_ == DType::kF16) return load_as<F16>(base, index);
    return load_as<Bf16>(base, index);
  }

  DType dtype_;
  const std::byte* scales_;
  const std::byte* biases_;
  float tensor_scale_;
};

}  // namespace strake
