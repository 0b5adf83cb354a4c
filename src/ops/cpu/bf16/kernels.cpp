#include "ops/cpu/bf16/kernels.h"

#include "strake/base/half.h"

#if defined(__x86_64__)
#include "ops/cpu/bf16/target.inl"

namespace strake::cpu {
namespace bf16 {
namespace {

int blocks_at_once(int64_t rows) { return rows <= kStreamRows ? 1 : kWide; }

size_t scratch_bytes(const BlockLayout&, const SumSchedule& schedule, int64_t rows) {
  return sizeof(Panel) +
         static_cast<size_t>(schedule.depth * rows * kWide * kBlockRows) * sizeof(float);
}

void multiply(const BlockProduct& product) {
  if (has_biases(product.layout.scaling)) return multiply_affine(product);
  if (product.layout.scaling == Scaling::kNone) return multiply_dense(product);
  multiply_floating(product);
}

bool wants_sums(const BlockLayout& layout) { return has_biases(layout.scaling); }

// Groups of weights with biases are of 32 and more.
float sum_group(const void* x, int64_t count) {
  const auto* const from = static_cast<const Bf16*>(x);
  const __m512i ones = _mm512_set1_epi16(0x3f80);
  __m512 sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < count; i += 32)
    sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_loadu_si512(from + i), (__m512bh)ones);
  return _mm512_reduce_add_ps(sum);
}

}  // namespace
}  // namespace bf16

const ProductKernels& avx512_bf16_kernels() {
  static constexpr ProductKernels kKernels{
      .activations = DType::kBF16,
      .run = 2,
      .most_rows = bf16::kPanelRows,
      .most_tiles = bf16::kPanelTiles,
      .blocks_at_once = bf16::blocks_at_once,
      .scratch_bytes = bf16::scratch_bytes,
      .multiply = bf16::multiply,
      .wants_sums = bf16::wants_sums,
      .sum_group = bf16::sum_group,
      .input_factors = [](const BlockLayout&) -> const float* { return nullptr; },
  };
  return kKernels;
}

}  // namespace strake::cpu

#include "ops/cpu/bf16/target_end.inl"
#endif
