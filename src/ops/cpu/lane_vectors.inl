// Vectors of float32 of the path's own width, their conversions and exp: included by
// lane_<path>.cpp inside an unnamed namespace, after the headers and the choice of instructions.

#define STRAKE_INLINE __attribute__((always_inline)) inline

// 16: AVX-512 with BF16; 8: AVX2, FMA and F16C; 4: any processor. (Compilers do not all define
// __AVX2__ and the like for a choice of instructions inside a file.)
constexpr int kWidth = STRAKE_LANES;

using Floats = float __attribute__((vector_size(kWidth * 4)));
using Words = uint32_t __attribute__((vector_size(kWidth * 4)));
using Ints = int32_t __attribute__((vector_size(kWidth * 4)));  // of comparisons
using Halves = uint16_t __attribute__((vector_size(kWidth * 2)));

template <class Vector, class T>
STRAKE_INLINE Vector read(const T* from) {
  Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}

STRAKE_INLINE Floats splat(float value) { return value - Floats{}; }

// a * b + c, in one rounding where the path has the instruction.
STRAKE_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {
#if STRAKE_LANES == 16
  return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif STRAKE_LANES == 8
  return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

// ---- Elements as float32 and back, as to_float() and from_float() convert them

STRAKE_INLINE Floats load(const float* from) { return read<Floats>(from); }

STRAKE_INLINE Floats load(const Bf16* from) {
  return (Floats)(__builtin_convertvector(read<Halves>(from), Words) << 16);
}

STRAKE_INLINE Floats load(const F16* from) {
#if STRAKE_LANES == 16
  return (Floats)_mm512_cvtph_ps((__m256i)read<Halves>(from));
#elif STRAKE_LANES == 8
  return (Floats)_mm256_cvtph_ps((__m128i)read<Halves>(from));
#else
  Floats result;
  for (int i = 0; i < kWidth; ++i) result[i] = to_float(from[i]);
  return result;
#endif
}

STRAKE_INLINE void store(Floats x, float* to) { __builtin_memcpy(to, &x, sizeof x); }

STRAKE_INLINE void store(Floats x, Bf16* to) {
  const auto bits = (Words)x;
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const auto nan = (Words)(x != x);
  const Words result = (nan & ((bits >> 16) | 0x40u)) | (~nan & rounded);
  const Halves halves = __builtin_convertvector(result, Halves);
  __builtin_memcpy(to, &halves, sizeof halves);
}

STRAKE_INLINE void store(Floats x, F16* to) {
#if STRAKE_LANES == 16
  const __m256i halves = _mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT);
  __builtin_memcpy(to, &halves, sizeof halves);
#elif STRAKE_LANES == 8
  const __m128i halves = _mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT);
  __builtin_memcpy(to, &halves, sizeof halves);
#else
  for (int i = 0; i < kWidth; ++i) to[i] = to_f16(x[i]);
#endif
}

// The first `count` < kWidth elements; others are zero.
template <class T>
STRAKE_INLINE Floats load_some(const T* from, int64_t count) {
  T elements[kWidth] = {};
  for (int64_t i = 0; i < count; ++i) elements[i] = from[i];
  return load(elements);
}

template <class T>
STRAKE_INLINE void store_some(Floats x, int64_t count, T* to) {
  T elements[kWidth];
  store(x, elements);
  for (int64_t i = 0; i < count; ++i) to[i] = elements[i];
}

// ---- Across lanes. (A lambda does not get the instructions chosen for the file.)

using LaneIndices = std::make_integer_sequence<int, kWidth>;

struct Sum {
  static STRAKE_INLINE Floats of(Floats a, Floats b) { return a + b; }
};
struct Larger {
  static STRAKE_INLINE Floats of(Floats a, Floats b) { return a > b ? a : b; }
};

template <int Distance, int... I>
STRAKE_INLINE Floats moved(Floats x, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(x, x, ((I + Distance) % kWidth)...);
}

// Lanes are combined as a binary tree: i with i + width / 2, then quarters, and so on.
template <class Combine>
STRAKE_INLINE float fold(Floats x) {
  if constexpr (kWidth >= 16) x = Combine::of(x, moved<8>(x, LaneIndices()));
  if constexpr (kWidth >= 8) x = Combine::of(x, moved<4>(x, LaneIndices()));
  x = Combine::of(x, moved<2>(x, LaneIndices()));
  x = Combine::of(x, moved<1>(x, LaneIndices()));
  return x[0];
}

// Lanes a0 b0 a1 b1 .. of halves of a and b: of the lower ones for First = 0, of the upper ones
// for First = kWidth / 2.
template <int First, int... I>
STRAKE_INLINE Floats interleaved(Floats a, Floats b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (First + I / 2 + I % 2 * kWidth)...);
}
STRAKE_INLINE Floats interleaved_low(Floats a, Floats b) {
  return interleaved<0>(a, b, LaneIndices());
}
STRAKE_INLINE Floats interleaved_high(Floats a, Floats b) {
  return interleaved<kWidth / 2>(a, b, LaneIndices());
}

// The lanes 0, 2, 4 .. (Odd = 0) or 1, 3, 5 .. of a and then b.
template <int Odd, int... I>
STRAKE_INLINE Floats every_other(Floats a, Floats b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (2 * I + Odd)...);
}

// Rows become columns: each round interleaves the first half of the rows with the second.
STRAKE_INLINE void transpose(Floats (&rows)[kWidth]) {
#pragma GCC unroll 4
  for (int round = 1; round < kWidth; round *= 2) {
    Floats next[kWidth];
#pragma GCC unroll 8
    for (int i = 0; i < kWidth / 2; ++i) {
      next[2 * i] = interleaved_low(rows[i], rows[i + kWidth / 2]);
      next[2 * i + 1] = interleaved_high(rows[i], rows[i + kWidth / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) rows[i] = next[i];
  }
}

// ---- exp(x) for x <= 0, within an ulp or two; 0 where the result would be subnormal.
//
// x = n * ln 2 + r with |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 * q(r), q fitted to the least
// relative error (4.2e-9). NaN stays NaN.
STRAKE_INLINE Floats exp_nonpositive(Floats x) {
  constexpr float kSmallest = -87.3365f;        // ln 2^-126
  constexpr float kRound = 0x1.8p23f + 127.0f;  // adding it leaves n + 127 in the low bits
  constexpr float kLn2High = 0x1.63p-1f;        // n times it is exact
  constexpr float kLn2Low = -0x1.bd0106p-13f;
  const Ints below = x < kSmallest;
  const Floats clamped = below ? splat(kSmallest) : x;
  const Floats shifted = multiply_add(clamped, splat(0x1.715476p+0f), splat(kRound));
  const Floats n = shifted - kRound;
  Floats r = multiply_add(n, splat(-kLn2High), clamped);
  r = multiply_add(n, splat(-kLn2Low), r);
  Floats q = splat(0x1.6a2256p-10f);
  q = multiply_add(q, r, splat(0x1.123b02p-7f));
  q = multiply_add(q, r, splat(0x1.5558f8p-5f));
  q = multiply_add(q, r, splat(0x1.555490p-3f));
  q = multiply_add(q, r, splat(0x1.fffffcp-2f));
  const Floats power = multiply_add(r * r, q, r) + 1.0f;
  const auto scale = (Floats)((Words)shifted << 23);
  return below ? Floats{} : power * scale;
}
