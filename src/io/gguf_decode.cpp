#include "io/gguf_decode.h"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/fail.h"
#include "quant/codecs.h"
#include "strake/base/half.h"

// Layouts are ggml's. Every decoder takes one block; the comment gives the block's bytes in order.
namespace strake {
namespace {

using Byte = uint8_t;

template <class T>
T load(const Byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

float half(const Byte* bytes) { return to_float(F16{load<uint16_t>(bytes)}); }

// Code e of a block of 32 whose byte j holds elements j and j + 16.
int nibble32(const Byte* codes, int e) { return codes[e % 16] >> (e / 16 * 4) & 0xf; }

// Two-bit code e of a block of 256: 32 bytes a half, four strides of 32 elements in each.
int crumb256(const Byte* codes, int e) {
  return codes[e / 128 * 32 + e % 32] >> (e / 32 % 4 * 2) & 3;
}

// Four-bit code e of a block of 256: 32 bytes for 64 elements, low nibbles first.
int nibble256(const Byte* codes, int e) {
  return codes[e / 64 * 32 + e % 32] >> (e / 32 % 2 * 4) & 0xf;
}

// Bit e of a block of 256: byte j holds elements j, j + 32, ..
int bit256(const Byte* bits, int e) { return bits[e % 32] >> (e / 32) & 1; }

template <int Count, class Value>
void fill(float* out, Value&& value) {
  for (int e = 0; e < Count; ++e) out[e] = value(e);
}

template <class T>
void number(const Byte* b, float* out) {
  *out = static_cast<float>(load<T>(b));
}
void f16(const Byte* b, float* out) { *out = half(b); }
void bf16(const Byte* b, float* out) { *out = to_float(Bf16{load<uint16_t>(b)}); }

// d; 16 bytes of codes
void q4_0(const Byte* b, float* out) {
  const float d = half(b);
  fill<32>(out, [&](int e) { return d * static_cast<float>(nibble32(b + 2, e) - 8); });
}

// d, m; 16 bytes of codes
void q4_1(const Byte* b, float* out) {
  const float d = half(b), m = half(b + 2);
  fill<32>(out, [&](int e) { return d * static_cast<float>(nibble32(b + 4, e)) + m; });
}

int five_bits(const Byte* high, const Byte* low, int e) {
  return nibble32(low, e) | static_cast<int>(load<uint32_t>(high) >> e & 1) << 4;
}

// d; 32 high bits; 16 bytes of low bits
void q5_0(const Byte* b, float* out) {
  const float d = half(b);
  fill<32>(out, [&](int e) { return d * static_cast<float>(five_bits(b + 2, b + 6, e) - 16); });
}

// d, m; 32 high bits; 16 bytes of low bits
void q5_1(const Byte* b, float* out) {
  const float d = half(b), m = half(b + 2);
  fill<32>(out, [&](int e) { return d * static_cast<float>(five_bits(b + 4, b + 8, e)) + m; });
}

// d; 32 signed bytes
void q8_0(const Byte* b, float* out) {
  const float d = half(b);
  fill<32>(out, [&](int e) { return d * static_cast<float>(static_cast<int8_t>(b[2 + e])); });
}

// 16 bytes of scale and minimum; 64 bytes of codes; d, dmin
void q2_k(const Byte* b, float* out) {
  const float d = half(b + 80), dmin = half(b + 82);
  fill<256>(out, [&](int e) {
    const int scale = b[e / 16];
    const float step = d * static_cast<float>(scale & 0xf);
    return step * static_cast<float>(crumb256(b + 16, e)) - dmin * static_cast<float>(scale >> 4);
  });
}

// 32 bytes of high bits, set for no offset; 64 bytes of low bits; 12 bytes of scales; d
void q3_k(const Byte* b, float* out) {
  const float d = half(b + 108);
  const Byte* scales = b + 96;
  fill<256>(out, [&](int e) {
    const int s = e / 16;
    const int scale = (scales[s % 8] >> (s / 8 * 4) & 0xf) | (scales[8 + s % 4] >> (s / 4 * 2) & 3)
                                                                 << 4;
    const int code = crumb256(b + 32, e) - (bit256(b, e) ? 0 : 4);
    return d * static_cast<float>(scale - 32) * static_cast<float>(code);
  });
}

struct ScaleMinimum {
  int scale;
  int minimum;
};

// The six-bit pairs of Q4_K and Q5_K: 4 scales, 4 minima, 4 bytes for the low bits of the others,
// whose high bits are the first eight bytes' own.
ScaleMinimum scale_minimum(const Byte* bytes, int s) {
  if (s < 4) return {bytes[s] & 0x3f, bytes[s + 4] & 0x3f};
  return {(bytes[s + 4] & 0xf) | (bytes[s - 4] >> 2 & 0x30),
          bytes[s + 4] >> 4 | (bytes[s] >> 2 & 0x30)};
}

// d, dmin; 12 bytes of scales and minima; 128 bytes of codes
void q4_k(const Byte* b, float* out) {
  const float d = half(b), dmin = half(b + 2);
  fill<256>(out, [&](int e) {
    const auto [scale, minimum] = scale_minimum(b + 4, e / 32);
    const float step = d * static_cast<float>(scale);
    return step * static_cast<float>(nibble256(b + 16, e)) - dmin * static_cast<float>(minimum);
  });
}

// d, dmin; 12 bytes of scales and minima; 32 bytes of high bits; 128 bytes of low bits
void q5_k(const Byte* b, float* out) {
  const float d = half(b), dmin = half(b + 2);
  fill<256>(out, [&](int e) {
    const auto [scale, minimum] = scale_minimum(b + 4, e / 32);
    const float step = d * static_cast<float>(scale);
    const int code = nibble256(b + 48, e) | bit256(b + 16, e) << 4;
    return step * static_cast<float>(code) - dmin * static_cast<float>(minimum);
  });
}

// 128 bytes of low bits, 64 bytes for 128 elements; 64 bytes of high bits; 16 scales; d
void q6_k(const Byte* b, float* out) {
  const float d = half(b + 208);
  fill<256>(out, [&](int e) {
    const int low = b[e / 128 * 64 + e % 64] >> (e / 64 % 2 * 4) & 0xf;
    const int code = (low | crumb256(b + 128, e) << 4) - 32;
    const auto scale = static_cast<float>(static_cast<int8_t>(b[192 + e / 16]));
    return d * scale * static_cast<float>(code);
  });
}

constexpr std::array<float, 16> kIQ4 = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};

// d; 16 bytes of codes
void iq4_nl(const Byte* b, float* out) {
  const float d = half(b);
  fill<32>(out, [&](int e) { return d * kIQ4[nibble32(b + 2, e)]; });
}

// d; 8 pairs of high scale bits; 4 bytes of low scale bits; 8 times 16 bytes of codes
void iq4_xs(const Byte* b, float* out) {
  const float d = half(b);
  const int high = load<uint16_t>(b + 2);
  fill<256>(out, [&](int e) {
    const int s = e / 32;
    const int scale = (b[4 + s / 2] >> (s % 2 * 4) & 0xf) | (high >> (2 * s) & 3) << 4;
    return d * static_cast<float>(scale - 32) * kIQ4[nibble32(b + 8 + s * 16, e % 32)];
  });
}

// Digit p of a byte that holds five base-3 digits as a fraction of 256.
int trit(Byte byte, int p) {
  constexpr int kPowers[] = {1, 3, 9, 27, 81};
  return static_cast<Byte>(byte * kPowers[p]) * 3 >> 8;
}

// 48 and 4 bytes of base-3 digits; d
void tq1_0(const Byte* b, float* out) {
  const float d = half(b + 52);
  fill<256>(out, [&](int e) {
    const int digit = e < 160   ? trit(b[e % 32], e / 32)
                      : e < 240 ? trit(b[32 + (e - 160) % 16], (e - 160) / 16)
                                : trit(b[48 + e % 4], (e - 240) / 4);
    return d * static_cast<float>(digit - 1);
  });
}

// 64 bytes of codes; d
void tq2_0(const Byte* b, float* out) {
  const float d = half(b + 64);
  fill<256>(out, [&](int e) { return d * static_cast<float>(crumb256(b, e) - 1); });
}

// e8m0 scale; 16 bytes of e2m1 codes
void mxfp4(const Byte* b, float* out) {
  const float d = E8M0::decode(b[0]);
  fill<32>(out, [&](int e) { return d * E2M1::decode(nibble32(b + 1, e)); });
}

using Decoder = void (*)(const Byte* block, float* out);

Decoder decoder(GgufType type) {
  switch (type) {
    case GgufType::kF32:
      return number<float>;
    case GgufType::kF64:
      return number<double>;
    case GgufType::kI8:
      return number<int8_t>;
    case GgufType::kI16:
      return number<int16_t>;
    case GgufType::kI32:
      return number<int32_t>;
    case GgufType::kI64:
      return number<int64_t>;
    case GgufType::kF16:
      return f16;
    case GgufType::kBF16:
      return bf16;
    case GgufType::kQ4_0:
      return q4_0;
    case GgufType::kQ4_1:
      return q4_1;
    case GgufType::kQ5_0:
      return q5_0;
    case GgufType::kQ5_1:
      return q5_1;
    case GgufType::kQ8_0:
      return q8_0;
    case GgufType::kQ2_K:
      return q2_k;
    case GgufType::kQ3_K:
      return q3_k;
    case GgufType::kQ4_K:
      return q4_k;
    case GgufType::kQ5_K:
      return q5_k;
    case GgufType::kQ6_K:
      return q6_k;
    case GgufType::kIQ4_NL:
      return iq4_nl;
    case GgufType::kIQ4_XS:
      return iq4_xs;
    case GgufType::kTQ1_0:
      return tq1_0;
    case GgufType::kTQ2_0:
      return tq2_0;
    case GgufType::kMXFP4:
      return mxfp4;
    case GgufType::kQ8_1:
    case GgufType::kQ8_K:
    case GgufType::kIQ2_XXS:
    case GgufType::kIQ2_XS:
    case GgufType::kIQ2_S:
    case GgufType::kIQ3_XXS:
    case GgufType::kIQ3_S:
    case GgufType::kIQ1_S:
    case GgufType::kIQ1_M:
    case GgufType::kNVFP4:
    case GgufType::kQ1_0:
      return nullptr;
  }
  return nullptr;
}

}  // namespace

void decode_gguf(std::string_view name, GgufType type, std::span<const std::byte> blocks,
                 std::span<float> out) {
  const Decoder decode = decoder(type);
  if (decode == nullptr)
    fail(ErrorKind::kUnsupported, "tensor '{}': blocks of type {} cannot be decoded", name,
         to_string(type));
  const auto block = static_cast<size_t>(traits(type).block);
  const auto bytes = static_cast<size_t>(traits(type).bytes);
  if (blocks.size() % bytes != 0 || blocks.size() / bytes * block != out.size())
    fail(ErrorKind::kInternal, "tensor '{}': {} bytes of {} blocks for {} elements", name,
         blocks.size(), to_string(type), out.size());
  const Byte* in = reinterpret_cast<const Byte*>(blocks.data());
  for (size_t i = 0; i < out.size() / block; ++i) decode(in + i * bytes, out.data() + i * block);
}

}  // namespace strake
