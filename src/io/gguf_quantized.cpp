#include "io/gguf_quantized.h"

#include <cmath>
#include <cstring>

#include "base/fail.h"
#include "strake/base/half.h"

namespace strake {
namespace {

constexpr int64_t kBlock = 32;  // elements

// Bytes of a block before its codes.
int64_t prefix_bytes(GgufType type) {
  return traits(type).bytes - kBlock * exact_format(type)->bits() / 8;
}

uint16_t half_at(const uint8_t* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  return bits;
}

// Blocks hold elements j and j + 16 in byte j; rows of codes are one stream, lowest bits first.
void pack_nibbles(const uint8_t* codes, uint32_t* words) {
  for (int i = 0; i < 4; ++i) {
    words[i] = 0;
    for (int j = 0; j < 8; ++j) {
      const int e = i * 8 + j;
      words[i] |= static_cast<uint32_t>(codes[e % 16] >> (e / 16 * 4) & 0xf) << (4 * j);
    }
  }
}

// Signed bytes become offsets from -128.
void pack_bytes(const uint8_t* codes, uint32_t* words) {
  std::memcpy(words, codes, kBlock);
  for (int i = 0; i < 8; ++i) words[i] ^= 0x80808080u;
}

struct Affine {
  float scale;
  float bias;
};

// Exact in float32: the products have at most 11 significant bits.
Affine affine_of(GgufType type, const uint8_t* block) {
  const float d = to_float(F16{half_at(block)});
  if (type == GgufType::kQ4_0) return {d, -8 * d};
  if (type == GgufType::kQ8_0) return {d, -128 * d};
  return {d, to_float(F16{half_at(block + 2)})};
}

template <class T>
void store_affine(GgufType type, const Tensor& blocks, QuantizedParts& parts) {
  const uint8_t* block = blocks.data<uint8_t>().data();
  const auto scales = parts.scales.mutable_data<T>();
  const auto biases = parts.biases->mutable_data<T>();
  for (size_t i = 0; i < scales.size(); ++i, block += traits(type).bytes) {
    const Affine value = affine_of(type, block);
    scales[i] = from_float<T>(value.scale);
    biases[i] = from_float<T>(value.bias);
  }
}

void store_bytes(GgufType type, const Tensor& blocks, Tensor& scales) {
  const uint8_t* block = blocks.data<uint8_t>().data();
  for (uint8_t& scale : scales.mutable_data<uint8_t>()) {
    scale = *block;
    block += traits(type).bytes;
  }
}

}  // namespace

std::optional<Format> exact_format(GgufType type) {
  if (type == GgufType::kQ4_0 || type == GgufType::kQ4_1) return Format::parse("affine", 4, 32);
  if (type == GgufType::kQ8_0) return Format::parse("affine", 8, 32);
  if (type == GgufType::kMXFP4) return Format::parse("mxfp4", 4, 32);
  return std::nullopt;
}

DType exact_scale_dtype(GgufType type, const Tensor& blocks) {
  constexpr float kLargest = 65504;
  if (type == GgufType::kMXFP4) return DType::kU8;
  const auto in = blocks.data<uint8_t>();
  for (size_t at = 0; at < in.size(); at += static_cast<size_t>(traits(type).bytes)) {
    const Affine value = affine_of(type, in.data() + at);
    if (std::isfinite(value.bias) && std::abs(value.bias) > kLargest) return DType::kF32;
  }
  return DType::kF16;
}

QuantizedMatrix quantized_from_gguf(std::string_view name, GgufType type, const Tensor& blocks,
                                    const Shape& shape) {
  const Format format = exact_format(type).value();
  if (shape.rank() < 2 || shape.rank() > 3)
    fail(ErrorKind::kUnsupported, "{}: a quantized tensor has 2 or 3 axes, found {}", name,
         shape.to_string());
  const Shape groups = shape.with(-1, shape[-1] / kBlock);
  Tensor codes = Tensor::empty(DType::kU32, shape.with(-1, format.words(shape[-1])));
  const uint8_t* block = blocks.data<uint8_t>().data();
  uint32_t* words = codes.mutable_data<uint32_t>().data();
  for (int64_t i = 0; i < groups.elements(); ++i) {
    const uint8_t* packed = block + prefix_bytes(type);
    format.bits() == 8 ? pack_bytes(packed, words) : pack_nibbles(packed, words);
    block += traits(type).bytes;
    words += format.words(kBlock);
  }
  const DType dtype = exact_scale_dtype(type, blocks);
  QuantizedParts parts{std::move(codes), Tensor::empty(dtype, groups)};
  if (format.has_biases()) parts.biases = Tensor::empty(dtype, groups);
  if (dtype == DType::kF16) store_affine<F16>(type, blocks, parts);
  if (dtype == DType::kF32) store_affine<float>(type, blocks, parts);
  if (dtype == DType::kU8) store_bytes(type, blocks, parts.scales);
  QuantizedMatrix matrix = QuantizedMatrix::make(name, format, std::move(parts));
  matrix.require_finite_scales(name);
  return matrix;
}

}  // namespace strake
