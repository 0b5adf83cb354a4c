// Rows of codes in a checkpoint's own order, element by element.
#pragma once

#include <cstdint>

#include "ops/cuda/code_format.h"
#include "ops/cuda/elements.h"
#include "quant/codecs.h"
#include "strake/quant/format.h"

namespace strake::cuda {

// Rows of `width` elements, each a least-significant-bit-first stream; groups of scales in order.
struct CodedRows {
  const uint32_t* codes;
  const void* scales;
  const void* biases;  // of affine
};

__device__ inline float load_floating(const void* base, DType dtype, int64_t index) {
  if (dtype == DType::kF32) return static_cast<const float*>(base)[index];
  if (dtype == DType::kF16) return to_float(static_cast<const __half*>(base)[index]);
  return to_float(static_cast<const __nv_bfloat16*>(base)[index]);
}

__device__ inline uint32_t code_at(const uint32_t* row, int bits, int64_t column) {
  const int64_t bit = column * bits;
  const int shift = static_cast<int>(bit % 32);
  uint32_t code = row[bit / 32] >> shift;
  if (shift + bits > 32) code |= row[bit / 32 + 1] << (32 - shift);
  return code & ((1u << bits) - 1);
}

// Sign, exponent and mantissa bit as they stand: 2^(e - 1) (1 + m / 2), or m / 2 where e is 0.
__device__ inline float decode_e2m1(uint32_t code) {
  const uint32_t exponent = (code >> 1) & 3, mantissa = code & 1;
  const float magnitude = exponent == 0 ? 0.5f * static_cast<float>(mantissa)
                                        : static_cast<float>((2 + mantissa) << exponent) * 0.25f;
  return code & 8 ? -magnitude : magnitude;
}

// The value of an element, each operation rounded to float32, as decode_value() has it.
__device__ inline float decode(const CodedRows& rows, const CodeFormat& format, int64_t row,
                               int64_t width, int64_t column) {
  const uint32_t code = code_at(rows.codes + row * (width * format.bits / 32), format.bits, column);
  const int64_t group = row * (width / format.group_size) + column / format.group_size;
  if (format.mode == Mode::kAffine)
    return __fadd_rn(
        __fmul_rn(load_floating(rows.scales, format.scale_dtype, group), static_cast<float>(code)),
        load_floating(rows.biases, format.scale_dtype, group));
  const uint8_t byte = static_cast<const uint8_t*>(rows.scales)[group];
  const float scale = format.mode == Mode::kNvfp4 ? E4M3::decode(byte) : E8M0::decode(byte);
  return __fmul_rn(__fmul_rn(scale, format.tensor_scale),
                   format.mode == Mode::kMxfp8 ? E4M3::decode(code) : decode_e2m1(code));
}

}  // namespace strake::cuda
