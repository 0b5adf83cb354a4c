// Products with AVX2 and FMA.
//
// Codes become float32 in registers where they lie, by a mask and, if the processor or the
// activations want it, a conversion; activations are float32, input by input side by side.
#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

#include "ops/cpu/avx2/kernels.h"
#include "ops/cpu/weight_rows.h"
#include "quant/codecs.h"
#include "strake/base/half.h"

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

// Calls use.operator()<Coding, Scales>() with the types of a quantized layout.
template <Reading How, class Use>
decltype(auto) visit_codes(const BlockLayout& layout, Use&& use) {
  switch (layout.coding) {
    case Coding::kU2:
      return use.template operator()<Integers<How, 2>, AffineScales>();
    case Coding::kU3:
      return use.template operator()<Integers<How, 3>, AffineScales>();
    case Coding::kU4:
      return use.template operator()<Integers<How, 4>, AffineScales>();
    case Coding::kU5:
      return use.template operator()<Integers<How, 5>, AffineScales>();
    case Coding::kU6:
      return use.template operator()<Integers<How, 6>, AffineScales>();
    case Coding::kU8:
      return use.template operator()<Bytes<How>, AffineScales>();
    case Coding::kE2M1:
      if (layout.scaling == Scaling::kE4M3)
        return use.template operator()<FourBitTable<How, 16>, FloatScales8>();
      return use.template operator()<FourBitTable<How, 32>, PowerScales>();
    case Coding::kE4M3:
    case Coding::kHalf:  // are handled before
    case Coding::kFloat:
      break;
  }
  return use.template operator()<Floats8<How>, PowerScales>();
}

template <Reading How>
void multiply_block(const BlockProduct& product) {
  const BlockLayout& layout = product.layout;
  // kFloat has kernels of its own (product_kernels()).
  if (layout.coding == Coding::kHalf)
    return multiply_source(PairSource{product.block, product.schedule.unit}, product);
  visit_codes<How>(layout, [&]<class Code, class Scales>() {
    multiply_source(CodeSource<Code, Scales>(layout, product.block), product);
  });
}

template <Reading How>
void multiply(const BlockProduct& product) {
  for (int i = 0; i < product.blocks; ++i) {
    BlockProduct one = product;
    one.block += i * product.stride;
    one.blocks = 1;
    one.first_output += i * kBlockRows;
    one.outputs -= i * kBlockRows;
    multiply_block<How>(one);
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

template <Reading How>
const float* input_factors(const BlockLayout& layout) {
  if (layout.coding == Coding::kHalf || layout.coding == Coding::kFloat) return nullptr;
  return visit_codes<How>(layout,
                          []<class Code, class Scales>() { return Code::kInputFactors.data(); });
}

// AMD's processors since Zen multiply subnormal numbers as fast as others; Intel's take a hundred
// cycles and more.
bool subnormals_are_fast() {
  __builtin_cpu_init();
  return __builtin_cpu_is("amdfam17h") || __builtin_cpu_is("amdfam19h");
}

// Sizes of activations that codes in place may be multiplied with, as bits without the sign. Their
// sums are then the same as of the codes' values but for the factors, for 2^50 does not overflow
// float32 with kInPlaceInputs, and no last bit, at 2^-77 or more, is below its smallest number.
template <class T>
struct Ordinary;
template <>
struct Ordinary<float> {
  static constexpr int32_t kLeast = (127 - 54) << 23;
  static constexpr int32_t kMost = (127 + 50) << 23;
};
template <>
struct Ordinary<Bf16> {
  static constexpr int16_t kLeast = (127 - 70) << 7;
  static constexpr int16_t kMost = (127 + 50) << 7;
};
template <>
struct Ordinary<F16> {  // every finite number
  static constexpr int16_t kLeast = 0;
  static constexpr int16_t kMost = 0x7bff;
};

template <class T>
bool all_ordinary(std::span<const T> x) {
  using Bits = std::remove_const_t<decltype(Ordinary<T>::kMost)>;
  constexpr size_t kAtOnce = 64;  // a fixed number is one that compilers vectorize
  const auto extremes = [](const T* from, auto count) {
    Bits found = 0;
    for (size_t i = 0; i < count; ++i) {
      const auto size =
          static_cast<Bits>(std::bit_cast<Bits>(from[i]) & std::numeric_limits<Bits>::max());
      found |= static_cast<Bits>((size > Ordinary<T>::kMost) |
                                 ((size < Ordinary<T>::kLeast) & (size != 0)));
    }
    return found != 0;
  };
  size_t i = 0;
  for (; i + kAtOnce <= x.size(); i += kAtOnce)
    if (extremes(x.data() + i, std::integral_constant<size_t, kAtOnce>())) return false;
  return !extremes(x.data() + i, x.size() - i);
}

template <Reading How>
constexpr ProductKernels kKernels{
    .activations = DType::kF32,
    .run = 1,
    .most_rows = kTileRows,
    .most_tiles = kMostTiles,
    .blocks_at_once = [](int64_t) { return 1; },
    .scratch_bytes = scratch_bytes,
    .multiply = multiply<How>,
    .wants_sums = wants_sums,
    .sum_group = sum_group,
    .input_factors = input_factors<How>,
};

}  // namespace
}  // namespace avx2

const ProductKernels& avx2_kernels(const Tensor& x) {
  using namespace avx2;
  static const bool in_place = subnormals_are_fast();
  if (in_place && visit_floating(x.dtype(), [&]<class T>(T) { return all_ordinary(x.data<T>()); }))
    return kKernels<Reading::kInPlace>;
  return kKernels<Reading::kConverted>;
}

}  // namespace strake::cpu

#pragma GCC pop_options
#endif
