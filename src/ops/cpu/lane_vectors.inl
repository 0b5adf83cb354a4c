// Vectors of float32 of the path's own width, their conversions and exp: included by
// lane_<path>.cpp inside an unnamed namespace, after the headers and the choice of instructions.

#define STRAKE_INLINE __attribute__((always_inline)) inline

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif

using Floats = float __attribute__((vector_size(kWidth * 4)));
using Words = uint32_t __attribute__((vector_size(kWidth * 4)));
using Ints = int32_t __attribute__((vector_size(kWidth * 4)));  // of comparisons
using Halves = uint16_t __attribute__((vector_size(kWidth * 2)));

template <int Count, class Body>
STRAKE_INLINE void unrolled(Body&& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (body(std::integral_constant<int, I>()), ...);
  }
  (std::make_integer_sequence<int, Count>());
}

template <class Vector, class T>
STRAKE_INLINE Vector read(const T* from) {
  Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}

STRAKE_INLINE Floats splat(float value) { return value - Floats{}; }

// a * b + c, in one rounding where the path has the instruction.
STRAKE_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
  return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
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
#if defined(__AVX512F__)
  return (Floats)_mm512_cvtph_ps((__m256i)read<Halves>(from));
#elif defined(__F16C__)
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
#if defined(__AVX512F__)
  const __m256i halves = _mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT);
  __builtin_memcpy(to, &halves, sizeof halves);
#elif defined(__F16C__)
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

// body(offset, load, store) for each vector of `count` elements, the last one perhaps a part: an
// element gets the same arithmetic wherever it stands.
template <class Whole, class Part>
STRAKE_INLINE void each_vector(int64_t count, Whole&& whole, Part&& part) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) whole(i);
  if (i < count) part(i, count - i);
}

// ---- Across lanes

// Lane i of the result is the combination of lanes i and i + Distance.
template <int Distance, class Combine>
STRAKE_INLINE Floats folded(Floats x, Combine&& combine) {
  const Floats moved = [&]<int... I>(std::integer_sequence<int, I...>)
      __attribute__((always_inline)) {
    return __builtin_shufflevector(x, x, ((I + Distance) % kWidth)...);
  }
  (std::make_integer_sequence<int, kWidth>());
  return combine(x, moved);
}

// Lanes are combined as a binary tree: i with i + width / 2, then quarters, and so on.
template <class Combine>
STRAKE_INLINE float fold(Floats x, Combine&& combine) {
  if constexpr (kWidth >= 16) x = folded<8>(x, combine);
  if constexpr (kWidth >= 8) x = folded<4>(x, combine);
  x = folded<2>(x, combine);
  x = folded<1>(x, combine);
  return x[0];
}

STRAKE_INLINE Floats larger(Floats a, Floats b) { return a > b ? a : b; }

STRAKE_INLINE float sum_of(Floats x) {
  return fold(x, [](Floats a, Floats b) { return a + b; });
}
STRAKE_INLINE float largest_of(Floats x) {
  return fold(x, [](Floats a, Floats b) { return larger(a, b); });
}

// Low: lanes a0 b0 a1 b1 .. of the lower halves; High: of the upper halves.
template <bool High>
STRAKE_INLINE Floats interleaved(Floats a, Floats b) {
  return [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    return __builtin_shufflevector(a, b, (I / 2 + (High ? kWidth / 2 : 0) + (I % 2) * kWidth)...);
  }
  (std::make_integer_sequence<int, kWidth>());
}

// The lanes 0, 2, 4 .. (or 1, 3, 5 ..) of a and then b.
template <int Odd>
STRAKE_INLINE Floats every_other(Floats a, Floats b) {
  return [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    return __builtin_shufflevector(a, b, (2 * I + Odd)...);
  }
  (std::make_integer_sequence<int, kWidth>());
}

// Rows become columns: each round interleaves the first half of the rows with the second.
STRAKE_INLINE void transpose(Floats (&rows)[kWidth]) {
  unrolled<std::countr_zero(static_cast<unsigned>(kWidth))>([&](
      auto) __attribute__((always_inline)) {
    Floats next[kWidth];
    unrolled<kWidth / 2>([&](auto i) __attribute__((always_inline)) {
      next[2 * i] = interleaved<false>(rows[i], rows[i + kWidth / 2]);
      next[2 * i + 1] = interleaved<true>(rows[i], rows[i + kWidth / 2]);
    });
    unrolled<kWidth>([&](auto i) __attribute__((always_inline)) { rows[i] = next[i]; });
  });
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
