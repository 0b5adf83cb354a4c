#include "tests/ops/cuda/packed_matrix.h"

#include <cstring>

namespace strake::cuda {
namespace {

uint32_t code_at(const std::vector<uint8_t>& row, int64_t row_byte, int64_t index, int bits) {
  uint32_t code = 0;
  for (int b = 0; b < bits; ++b) {
    const int64_t bit = index * bits + b;
    code |= (row[static_cast<size_t>(row_byte + bit / 8)] >> bit % 8 & 1u) << b;
  }
  return code;
}

float scale_at(DType type, const std::vector<uint8_t>& scales, int64_t index) {
  if (type == DType::kF32) {
    float value;
    std::memcpy(&value, scales.data() + index * 4, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, scales.data() + index * 2, 2);
  return half_value(type, bits);
}

void push_scale(DType type, float value, std::vector<uint8_t>& to) {
  uint8_t bytes[4];
  const uint16_t half = to_half_bits(type, value);
  const size_t count = type == DType::kF32 ? 4 : 2;
  std::memcpy(bytes, type == DType::kF32 ? static_cast<const void*>(&value) : &half, count);
  to.insert(to.end(), bytes, bytes + count);
}

}  // namespace

std::vector<float> HostMatrix::values() const {
  std::vector<float> values(static_cast<size_t>(rows * columns));
  const int64_t row_bytes = columns * code_bits() / 8;
  if (!kind.format) {
    for (int64_t i = 0; i < rows * columns; ++i) {
      uint16_t bits;
      std::memcpy(&bits, codes.data() + 2 * i, 2);
      values[static_cast<size_t>(i)] = half_value(kind.type, bits);
    }
    return values;
  }
  visit_format(*kind.format, [&]<class Spec>(Spec) {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < columns; ++column) {
        const int64_t group = (row * columns + column) / Spec::kGroupSize;
        GroupScale scale{};
        if constexpr (Spec::kHasBiases)
          scale = {scale_at(kind.type, scales, group), scale_at(kind.type, biases, group)};
        else
          scale = {Spec::Scale::decode(scales[static_cast<size_t>(group)]) * tensor_scale};
        const auto code =
            static_cast<uint8_t>(code_at(codes, row * row_bytes, column, Spec::kBits));
        values[static_cast<size_t>(row * columns + column)] = decode_value<Spec>(code, scale);
      }
    }
  });
  return values;
}

HostMatrix HostMatrix::slice(int64_t begin, int64_t end) const {
  HostMatrix part{kind, rows, end - begin, {}, {}, {}, tensor_scale};
  const auto cut = [&](const std::vector<uint8_t>& from, int64_t unit, int64_t bytes) {
    std::vector<uint8_t> to;
    for (int64_t row = 0; row < rows; ++row) {
      const auto at = from.begin() + row * (columns / unit * bytes);
      to.insert(to.end(), at + begin / unit * bytes, at + end / unit * bytes);
    }
    return to;
  };
  // 16 codes of any width are whole bytes.
  part.codes = cut(codes, 16, 2 * code_bits());
  if (!kind.format) return part;
  const int64_t scale_bytes = static_cast<int64_t>(scales.size()) / (rows * columns / kind.group());
  part.scales = cut(scales, kind.group(), scale_bytes);
  if (!biases.empty()) part.biases = cut(biases, kind.group(), scale_bytes);
  return part;
}

HostMatrix random_matrix(const MatrixKind& kind, int64_t rows, int64_t columns, std::mt19937& rng) {
  HostMatrix made{kind, rows, columns, {}, {}, {}, 1.0f};
  std::normal_distribution<float> normal;
  if (!kind.format) {
    for (int64_t i = 0; i < rows * columns; ++i) {
      const uint16_t bits = to_half_bits(kind.type, normal(rng));
      made.codes.push_back(static_cast<uint8_t>(bits));
      made.codes.push_back(static_cast<uint8_t>(bits >> 8));
    }
    return made;
  }
  made.codes.resize(static_cast<size_t>(rows * columns * kind.format->bits() / 8));
  for (uint8_t& byte : made.codes) byte = static_cast<uint8_t>(rng());
  const auto middle = static_cast<float>(1 << (kind.format->bits() - 1));
  std::uniform_real_distribution<float> spread(0.5f, 1.5f);
  for (int64_t group = 0; group < rows * columns / kind.group(); ++group) {
    switch (kind.format->mode()) {
      case Mode::kAffine: {
        const float scale = spread(rng) * (rng() % 2 == 0 ? 1.0f : -1.0f) / middle;
        push_scale(kind.type, scale, made.scales);
        push_scale(kind.type, -scale * middle * spread(rng), made.biases);
        break;
      }
      case Mode::kMxfp4:
      case Mode::kMxfp8:
        // Some above 2: what bfloat16 takes in two steps.
        made.scales.push_back(static_cast<uint8_t>(rng() % 64 == 0 ? 129 : 120 + rng() % 6));
        break;
      case Mode::kNvfp4:
        made.scales.push_back(static_cast<uint8_t>(rng() % 127));
        break;
    }
  }
  if (kind.format->mode() == Mode::kNvfp4) made.tensor_scale = 0.37f;
  return made;
}

DeviceMatrix::DeviceMatrix(const HostMatrix& from, const Leaves& leaves)
    : shape_{from.kind.packed(), static_cast<int32_t>(from.rows), leaves},
      type_(from.kind.type),
      tensor_scale_(from.tensor_scale),
      codes_(static_cast<size_t>(shape_.code_bytes())),
      scales_(static_cast<size_t>(shape_.scale_bytes())) {
  codes_.fill(0xa5);
  scales_.fill(0xa5);
  const DeviceArray<uint8_t> codes(from.codes), scales(from.scales), biases(from.biases);
  pack(shape_, {codes.data(), scales.data(), biases.data(), from.rows, from.rows},
       {codes_.data(), scales_.data()}, nullptr);
  check(cudaDeviceSynchronize(), "pack");
}

}  // namespace strake::cuda
