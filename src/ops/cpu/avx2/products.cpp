// Products with AVX2 and FMA.
//
// Codes become float32 in registers, by a mask and a conversion where they lie; activations are
// float32, input by input side by side.
#include <algorithm>
#include <array>
#include <utility>

#include "ops/cpu/avx2/kernels.h"
#include "quant/codecs.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma GCC push_options
// The intrinsics of g++ 12 begin from values that they call undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("avx2,fma,f16c")

namespace strake::cpu {
namespace avx2 {
namespace {

// Inputs of a product that are multiplied now.
struct Part {
  int64_t first;
  int64_t inputs;
};

// Where a tile's sums have got to.
struct Sums {
  SumCursor& cursor;
  float* stack;  // [depth][rows][16]
};

// Each uses the ones before.
// clang-format off
#include "ops/cpu/avx2/codings.inl"
#include "ops/cpu/avx2/products.inl"
// clang-format on

template <class Code, class Scales>
void multiply_codes(const BlockProduct& product) {
  multiply_source(CodeSource<Code, Scales>(product.layout, product.block), product);
}

void multiply_block(const BlockProduct& product) {
  const BlockLayout& layout = product.layout;
  switch (layout.coding) {
    case Coding::kU2:
      return multiply_codes<Integers<2>, AffineScales>(product);
    case Coding::kU3:
      return multiply_codes<Integers<3>, AffineScales>(product);
    case Coding::kU4:
      return multiply_codes<Integers<4>, AffineScales>(product);
    case Coding::kU5:
      return multiply_codes<Integers<5>, AffineScales>(product);
    case Coding::kU6:
      return multiply_codes<Integers<6>, AffineScales>(product);
    case Coding::kU8:
      return multiply_codes<Bytes, AffineScales>(product);
    case Coding::kE2M1:
      if (layout.scaling == Scaling::kE4M3)
        return multiply_codes<FourBitTable<16>, FloatScales8>(product);
      return multiply_codes<FourBitTable<32>, PowerScales>(product);
    case Coding::kE4M3:
      return multiply_codes<Floats8, PowerScales>(product);
    case Coding::kHalf:
    case Coding::kFloat:  // has kernels of its own (product_kernels())
      return multiply_source(PairSource{product.block, product.schedule.unit}, product);
  }
}

void multiply(const BlockProduct& product) {
  for (int i = 0; i < product.blocks; ++i) {
    BlockProduct one = product;
    one.block += i * product.stride;
    one.blocks = 1;
    one.first_output += i * kBlockRows;
    one.outputs -= i * kBlockRows;
    multiply_block(one);
  }
}

size_t scratch_bytes(const BlockLayout&, const SumSchedule& schedule, int64_t rows) {
  return sizeof(Panel) + static_cast<size_t>(schedule.depth * rows * kBlockRows) * sizeof(float);
}

bool wants_sums(const BlockLayout& layout) {
  return has_biases(layout.scaling) || layout.coding == Coding::kE2M1;
}

// Groups are of 16 and more.
float sum_group(const void* x, int64_t count) {
  const auto* const from = static_cast<const float*>(x);
  __m256 sums = _mm256_setzero_ps();
  for (int64_t i = 0; i < count; i += 8) sums = _mm256_add_ps(sums, _mm256_loadu_ps(from + i));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

const float* input_factors(const BlockLayout& layout) {
  switch (layout.coding) {
    case Coding::kU2:
      return Integers<2>::kInputFactors.data();
    case Coding::kU3:
      return Integers<3>::kInputFactors.data();
    case Coding::kU4:
      return Integers<4>::kInputFactors.data();
    case Coding::kU5:
      return Integers<5>::kInputFactors.data();
    case Coding::kU6:
      return Integers<6>::kInputFactors.data();
    case Coding::kE2M1:
      return FourBitTable<32>::kInputFactors.data();
    case Coding::kU8:
    case Coding::kE4M3:
    case Coding::kHalf:
    case Coding::kFloat:
      return nullptr;
  }
  return nullptr;
}

}  // namespace
}  // namespace avx2

const ProductKernels& avx2_kernels() {
  static constexpr ProductKernels kKernels{
      .activations = DType::kF32,
      .run = 1,
      .most_rows = avx2::kTileRows,
      .most_tiles = avx2::kMostTiles,
      .blocks_at_once = [](int64_t) { return 1; },
      .scratch_bytes = avx2::scratch_bytes,
      .multiply = avx2::multiply,
      .wants_sums = avx2::wants_sums,
      .sum_group = avx2::sum_group,
      .input_factors = avx2::input_factors,
  };
  return kKernels;
}

}  // namespace strake::cpu

#pragma GCC pop_options
#endif
