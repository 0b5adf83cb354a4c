// Products with bfloat16 activations on AVX-512 with its bfloat16 dot product.
//
// A lane of `vdpbf16ps` sums a pair of products in float32, so one instruction takes a pair of
// inputs of 16 rows. Codes become exact bfloat16 values in registers; a group's sum is multiplied
// by its scale in float32. Few activation rows take the codes as they come; for many they are
// unpacked once into panels. Both do the same arithmetic in the same order.
#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

#include "ops/cpu/product.h"
#include "quant/codecs.h"
#include "strake/base/half.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma GCC push_options
// The intrinsics of g++ 12 begin from values that they call undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512bf16,bmi2,fma")

namespace strake::cpu {
namespace {

#define STRAKE_INLINE_BODY __attribute__((always_inline))
#define STRAKE_INLINE STRAKE_INLINE_BODY inline

// Where a product is in its schedule.
struct Cursor {
  explicit Cursor(const SumSchedule& schedule)
      : step(schedule.steps.data()), end(step + schedule.steps.size()), left(step->inputs) {}

  // Goes to the next step; false when there is none.
  bool next() {
    if (++step == end) return false;
    left = step->inputs;
    return true;
  }

  const SumSchedule::Step* step;
  const SumSchedule::Step* end;
  int64_t left;    // inputs of the step that are to come
  int height = 0;  // sums on the stack, below the one that the step adds to
};

// A node's sums of 16 rows of weight and a row of activations, into its results.
STRAKE_INLINE_BODY inline void put(const BlockProduct& product, int block, const Cursor& cursor,
                                   float* out, __m512 sum) {
  const int64_t wanted = std::clamp<int64_t>(product.outputs - block * kBlockRows, 0, kBlockRows);
  _mm512_mask_storeu_ps(
      out + cursor.step->node * product.node_stride + product.first_output + block * kBlockRows,
      static_cast<__mmask16>((1u << wanted) - 1),
      _mm512_mul_ps(sum, _mm512_set1_ps(product.layout.tensor_scale)));
}

// Each uses the ones before.
// clang-format off
#include "ops/cpu/product_bf16_codings.inl"
#include "ops/cpu/product_bf16_streams.inl"
#include "ops/cpu/product_bf16_blocks.inl"
#include "ops/cpu/product_bf16_panels.inl"
// clang-format on

// Kernel::multiply<1> to <Most>, by the rows of the only tile.
template <class Kernel, int Most>
void multiply_by_rows(const BlockProduct& product) {
  using Multiply = void (*)(const BlockProduct&);
  static constexpr auto kByRows = []<int... I>(std::integer_sequence<int, I...>) {
    return std::array<Multiply, Most>{Kernel::template multiply<I + 1>...};
  }
  (std::make_integer_sequence<int, Most>());
  kByRows[static_cast<size_t>(product.tiles[0].rows - 1)](product);
}

template <class Code, class Scales>
void multiply(const BlockProduct& product) {
  const int rows = product.tiles.size() == 1 ? product.tiles[0].rows : kPanelRows;
  if (rows <= kStreamRows) return multiply_by_rows<CodeStreams<Code, Scales>, kStreamRows>(product);
  if (rows <= kDirectRows)
    return multiply_by_rows<DirectBlocks<Code, Scales>, kDirectRows>(product);
  CodePanels<Code, Scales>::multiply(product);
}

void multiply_dense(const BlockProduct& product) {
  if (product.tiles.size() == 1 && product.tiles[0].rows <= kStreamRows)
    return multiply_by_rows<PairStreams, kStreamRows>(product);
  PairPanels::multiply(product);
}

int blocks_at_once(int64_t rows) { return rows <= kStreamRows ? 1 : kWide; }

size_t scratch_bytes(const BlockLayout&, const SumSchedule& schedule, int64_t rows) {
  return sizeof(Panel) +
         static_cast<size_t>(schedule.depth * rows * kWide * kBlockRows) * sizeof(float);
}

using Multiply = void (*)(const BlockProduct&);

Multiply find_multiply(const BlockLayout& layout) {
  switch (layout.coding) {
    case Coding::kU2:
      return multiply<Integers<2>, AffineScales>;
    case Coding::kU3:
      return multiply<Integers<3>, AffineScales>;
    case Coding::kU4:
      return multiply<Integers<4>, AffineScales>;
    case Coding::kU5:
      return multiply<Integers<5>, AffineScales>;
    case Coding::kU6:
      return multiply<Integers<6>, AffineScales>;
    case Coding::kU8:
      return multiply<ByteTable<OddIntegers>, AffineScales>;
    case Coding::kE2M1:
      if (layout.scaling == Scaling::kE4M3) return multiply<FourBitTable<16>, FloatScales8>;
      return multiply<FourBitTable<32>, PowerScales>;
    case Coding::kE4M3:
      return multiply<ByteTable<Floats8>, PowerScales>;
    case Coding::kHalf:
      return multiply_dense;
    case Coding::kFloat:
      return nullptr;
  }
  return nullptr;
}

// Groups of weights with biases are of 32 and more.
float sum_group(const Bf16* x, int64_t count) {
  const __m512i ones = _mm512_set1_epi16(0x3f80);
  __m512 sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < count; i += 32)
    sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_loadu_si512(x + i), (__m512bh)ones);
  return _mm512_reduce_add_ps(sum);
}

void multiply_any(const BlockProduct& product) { find_multiply(product.layout)(product); }

}  // namespace

const ProductKernels& avx512_bf16_kernels() {
  static constexpr ProductKernels kKernels{DType::kBF16,  kPanelRows,   kPanelTiles, blocks_at_once,
                                           scratch_bytes, multiply_any, sum_group};
  return kKernels;
}

}  // namespace strake::cpu

#pragma GCC pop_options
#endif
