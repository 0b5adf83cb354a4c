// Codes and scales of 16 rows in two registers of 8: included by products.cpp.

#define STRAKE_INLINE_BODY __attribute__((always_inline))
#define STRAKE_INLINE STRAKE_INLINE_BODY inline

constexpr int kHalves = 2;  // registers of 8 rows
constexpr int64_t kHalfBytes = kRegister / kHalves;

STRAKE_INLINE __m256i load(const std::byte* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
STRAKE_INLINE __m128i load_bytes16(const std::byte* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

STRAKE_INLINE void prefetch(const std::byte* at) {
  _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0);
}

// A point that the value is computed by: without such, the compiler may gather loads first and
// spill sums for them.
STRAKE_INLINE void pin(__m256& value) { asm volatile("" : "+x"(value)); }

template <int Count, class Body>
STRAKE_INLINE void unrolled(Body&& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) STRAKE_INLINE_BODY {
    (body(std::integral_constant<int, I>()), ...);
  }
  (std::make_integer_sequence<int, Count>());
}

// ---- Codings: a run is kRun inputs in kWords registers of 16 rows, each with the codes of
// kWordInputs inputs; what is left over, pieces() takes from the whole run. Words of N groups are
// taken together, for their sums are chains that do not wait for each other. Numbers are handed out
// as use(group, input, half, values of 8 rows). The value of a code is v * kFactor - kOffset for
// the v that is handed out times the input factor of its input; kFactor multiplies whole sums.
//
// Integers are read in place where that is fast (kInPlace): a field of up to 24 bits is, as it
// stands, the float32 of 2^-149 times its integer (subnormal, or of the next exponent, which has
// the same step), so that a mask makes a number of it. Else it is converted. Both give the same
// sums but for a power of two, and that is what the factors take back.

enum class Reading { kInPlace, kConverted };

// Of the factor 2^149 of integers in place, the sums take this part and inputs the other, which
// leaves both in float32's range as long as activations are Ordinary (products.cpp).
constexpr float kInPlaceSums = 0x1p72f;
constexpr float kInPlaceInputs = 0x1p77f;
// Of the factor 2^120 of e4m3 in place.
constexpr float kInPlaceSums8 = 0x1p63f;
constexpr float kInPlaceInputs8 = 0x1p57f;

// Factors of the inputs of a run of 32.
using InputFactors = std::array<float, 32>;

STRAKE_INLINE __m256i masked(__m256i lanes, uint32_t mask) {
  return _mm256_and_si256(lanes, _mm256_set1_epi32(static_cast<int>(mask)));
}

// An integer of up to 24 bits in each lane as number.
template <Reading How>
STRAKE_INLINE __m256 number(__m256i lanes) {
  return How == Reading::kInPlace ? _mm256_castsi256_ps(lanes) : _mm256_cvtepi32_ps(lanes);
}

// `Width` bits from `place` on of each lane, as a number 2^moved_place() times as large. What does
// not end within 24 bits is moved down: the uppermost field alone, others with the upper half.
template <Reading How, int Width, int Place>
STRAKE_INLINE __m256 field(__m256i lanes) {
  constexpr uint32_t kMask = (1u << Width) - 1;
  if constexpr (Place + Width == 32) return number<How>(_mm256_srli_epi32(lanes, Place));
  if constexpr (How == Reading::kConverted || Place + Width <= 24)
    return number<How>(masked(lanes, kMask << Place));
  return number<How>(masked(_mm256_srli_epi32(lanes, 16), kMask << (Place % 16)));
}
constexpr int moved_place(Reading how, int width, int place) {
  if (place + width == 32) return 0;
  return how == Reading::kConverted || place + width <= 24 ? place : place % 16;
}
constexpr float field_factor(Reading how, int width, int place) {
  return (how == Reading::kInPlace ? kInPlaceInputs : 1.0f) /
         static_cast<float>(1u << moved_place(how, width, place));
}

// The registers of N groups' words.
template <int N>
struct Words {
  __m256i lanes[N][kHalves];
  explicit STRAKE_INLINE Words(const std::byte* const* at, int64_t offset) {
    unrolled<N * kHalves>([&](auto i) STRAKE_INLINE_BODY {
      lanes[i / kHalves][i % kHalves] = load(at[i / kHalves] + offset + i % kHalves * kHalfBytes);
    });
  }
};

// Calls use(group, input, half), input by input.
template <int N, int Inputs, class Use>
STRAKE_INLINE void each_number(Use&& use) {
  unrolled<Inputs>([&](auto input) STRAKE_INLINE_BODY {
    unrolled<N>([&](auto g) STRAKE_INLINE_BODY {
      unrolled<kHalves>([&](auto half) STRAKE_INLINE_BODY { use(g, input, half); });
    });
  });
}

// Unsigned codes of Bits <= 6 bits in fields of their own, and pieces of what is left over.
template <Reading How, int Bits>
struct Integers {
  static constexpr int kRun = 32;
  static constexpr int kWords = Bits;
  static constexpr int kWordInputs = 2 * Fields<Bits>::kPerWord;
  static constexpr float kOffset = 0.0f;
  static constexpr float kFactor = How == Reading::kInPlace ? kInPlaceSums : 1.0f;
  using F = Fields<Bits>;
  static constexpr auto kInputFactors = [] {
    InputFactors factors;
    for (int i = 0; i < kRun; ++i)
      factors[static_cast<size_t>(i)] =
          i / 2 < F::kWhole ? field_factor(How, Bits, i / 2 % F::kPerWord * Bits + 16 * (i % 2))
                            : field_factor(How, Bits, 0);
    return factors;
  }();

  // The code of an input whose pieces lie in several words.
  template <int Input>
  static STRAKE_INLINE __m256 assembled(const std::byte* at, int64_t stride) {
    __m256i code = _mm256_setzero_si256();
    unrolled<F::kPieces>([&](auto index) STRAKE_INLINE_BODY {
      constexpr auto kPiece = F::piece(Input / 2, index);
      constexpr int kFrom = kPiece.word_shift + 16 * (Input % 2);
      constexpr int kTo = kPiece.code_shift;
      const __m256i word = load(at + kPiece.word * stride);
      const __m256i moved = kFrom > kTo ? _mm256_srli_epi32(word, kFrom - kTo) : word;
      code = _mm256_or_si256(code, masked(moved, ((1u << kPiece.bits) - 1) << kTo));
    });
    return number<How>(code);
  }

  template <int N, class Use>
  STRAKE_INLINE void word(const std::byte* const* at, int64_t offset, Use&& use) const {
    const Words<N> words(at, offset);
    each_number<N, kWordInputs>([&](auto g, auto i, auto half) STRAKE_INLINE_BODY {
      use(g, i, half, field<How, Bits, i / 2 * Bits + 16 * (i % 2)>(words.lanes[g][half]));
    });
  }
  template <int N, class Use>
  STRAKE_INLINE void pieces(const std::byte* const* at, int64_t stride, Use&& use) const {
    each_number<N, kRun - 2 * F::kWhole>([&](auto g, auto rest, auto half) STRAKE_INLINE_BODY {
      constexpr int kInput = 2 * F::kWhole + rest;
      use(g, kInput, half, assembled<kInput>(at[g] + half * kHalfBytes, stride));
    });
  }
};

// Four-bit floating codes: a table makes bytes of them, twice the value and 12, so that none is
// negative. Of each word, the even codes are looked up together and the odd ones.
template <Reading How, int Run>
struct FourBitTable {
  static constexpr int kRun = Run;
  static constexpr int kWords = Run / 8;
  static constexpr int kWordInputs = 8;
  static constexpr float kOffset = 6.0f;
  static constexpr float kFactor = How == Reading::kInPlace ? kInPlaceSums / 2 : 0.5f;

  static constexpr int place(int input) { return input / 2 % 4 / 2 * 8 + 16 * (input % 2); }
  static constexpr auto kInputFactors = [] {
    InputFactors factors;
    for (int i = 0; i < 32; ++i) factors[static_cast<size_t>(i)] = field_factor(How, 8, place(i));
    return factors;
  }();
  static constexpr auto kTable = [] {
    std::array<uint8_t, 32> values{};  // of each half
    for (uint32_t i = 0; i < 32; ++i)
      values[i] = static_cast<uint8_t>(static_cast<int>(2 * E2M1::decode(i % 16)) + 12);
    return values;
  }();
  __m256i table = load(reinterpret_cast<const std::byte*>(kTable.data()));

  template <int N, class Use>
  STRAKE_INLINE void word(const std::byte* const* at, int64_t offset, Use&& use) const {
    const __m256i nibbles = _mm256_set1_epi8(15);
    const Words<N> words(at, offset);
    __m256i looked_up[2][N][kHalves];
    unrolled<N * kHalves>([&](auto i) STRAKE_INLINE_BODY {
      const __m256i codes = words.lanes[i / kHalves][i % kHalves];
      const __m256i odd = _mm256_srli_epi16(codes, 4);
      looked_up[0][i / kHalves][i % kHalves] =
          _mm256_shuffle_epi8(table, _mm256_and_si256(codes, nibbles));
      looked_up[1][i / kHalves][i % kHalves] =
          _mm256_shuffle_epi8(table, _mm256_and_si256(odd, nibbles));
    });
    each_number<N, kWordInputs>([&](auto g, auto i, auto half) STRAKE_INLINE_BODY {
      use(g, i, half, field<How, 8, place(i)>(looked_up[i / 2 % 2][g][half]));
    });
  }
  template <int N, class Use>
  STRAKE_INLINE void pieces(const std::byte* const*, int64_t, Use&&) const {}
};

// Unsigned 8-bit codes.
template <Reading How>
struct Bytes {
  static constexpr int kRun = 32;
  static constexpr int kWords = 8;
  static constexpr int kWordInputs = 4;
  static constexpr float kOffset = 0.0f;
  static constexpr float kFactor = How == Reading::kInPlace ? kInPlaceSums : 1.0f;
  static constexpr auto kInputFactors = [] {
    InputFactors factors;
    for (int i = 0; i < kRun; ++i)
      factors[static_cast<size_t>(i)] = field_factor(How, 8, i % kWordInputs * 8);
    return factors;
  }();

  template <int N, class Use>
  STRAKE_INLINE void word(const std::byte* const* at, int64_t offset, Use&& use) const {
    const Words<N> words(at, offset);
    each_number<N, kWordInputs>([&](auto g, auto i, auto half) STRAKE_INLINE_BODY {
      use(g, i, half, field<How, 8, i * 8>(words.lanes[g][half]));
    });
  }
  template <int N, class Use>
  STRAKE_INLINE void pieces(const std::byte* const*, int64_t, Use&&) const {}
};

// e4m3: its exponent and mantissa as those of bfloat16 are 2^-120 times the value, subnormal
// numbers included.
template <Reading How>
struct Floats8 {
  static constexpr int kRun = 32;
  static constexpr int kWords = 8;
  static constexpr int kWordInputs = 4;
  static constexpr float kOffset = 0.0f;
  static constexpr float kFactor = How == Reading::kInPlace ? kInPlaceSums8 : 1.0f;
  static constexpr auto kInputFactors = [] {
    InputFactors factors;
    factors.fill(How == Reading::kInPlace ? kInPlaceInputs8 : 1.0f);
    return factors;
  }();

  static STRAKE_INLINE __m256 value(__m256i bits) {
    const __m256 small = _mm256_castsi256_ps(bits);
    return How == Reading::kInPlace ? small : _mm256_mul_ps(small, _mm256_set1_ps(0x1p120f));
  }

  template <int N, class Use>
  STRAKE_INLINE void word(const std::byte* const* at, int64_t offset, Use&& use) const {
    const __m256i fields = _mm256_set1_epi16(static_cast<short>(0x87f0));
    const Words<N> words(at, offset);
    __m256i pairs[2][N][kHalves];  // inputs 0 and 2 of a row, 1 and 3
    unrolled<N * kHalves>([&](auto i) STRAKE_INLINE_BODY {
      const __m256i odd = words.lanes[i / kHalves][i % kHalves];
      const __m256i even = _mm256_slli_epi16(odd, 8);
      pairs[0][i / kHalves][i % kHalves] = _mm256_and_si256(_mm256_srai_epi16(even, 4), fields);
      pairs[1][i / kHalves][i % kHalves] = _mm256_and_si256(_mm256_srai_epi16(odd, 4), fields);
    });
    each_number<N, kWordInputs>([&](auto g, auto i, auto half) STRAKE_INLINE_BODY {
      const __m256i pair = pairs[i % 2][g][half];
      use(g, i, half, value(i < 2 ? _mm256_slli_epi32(pair, 16) : masked(pair, 0xffff0000u)));
    });
  }
  template <int N, class Use>
  STRAKE_INLINE void pieces(const std::byte* const*, int64_t, Use&&) const {}
};

// ---- Scales of a group: of 8 rows.

struct PowerScales {
  static constexpr bool kStoredBiases = false;
  explicit PowerScales(const BlockLayout&) {}
  STRAKE_INLINE __m256 scale(const std::byte* line, int half) const {
    const __m256i exponents =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(line + half * 8)));
    // Exponent 0 is 2^-127, which float32 holds as a subnormal number.
    return _mm256_castsi256_ps(
        _mm256_max_epu32(_mm256_slli_epi32(exponents, 23), _mm256_set1_epi32(0x00400000)));
  }
};

struct FloatScales8 {
  static constexpr bool kStoredBiases = false;
  explicit FloatScales8(const BlockLayout&) {}
  STRAKE_INLINE __m256 scale(const std::byte* line, int half) const {
    const __m256i bytes =
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(line + half * 8)));
    // Exponent and mantissa as float32's, 120 too small in the exponent: exact, subnormals too.
    const __m256i bits = _mm256_and_si256(_mm256_slli_epi32(bytes, 20),
                                          _mm256_set1_epi32(static_cast<int>(0x87f00000u)));
    return _mm256_mul_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(0x1p120f));
  }
};

struct AffineScales {
  static constexpr bool kStoredBiases = true;
  Scaling scaling;
  explicit AffineScales(const BlockLayout& layout) : scaling(layout.scaling) {}

  // Eight numbers, counted in eights from the line's beginning: scales are the first two eights.
  STRAKE_INLINE __m256 load8(const std::byte* line, int eight) const {
    if (scaling == Scaling::kF32)
      return _mm256_loadu_ps(reinterpret_cast<const float*>(line) + eight * 8);
    const __m128i halves = load_bytes16(line + eight * 16);
    if (scaling == Scaling::kF16) return _mm256_cvtph_ps(halves);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  STRAKE_INLINE __m256 scale(const std::byte* line, int half) const { return load8(line, half); }
  STRAKE_INLINE __m256 bias(const std::byte* line, int half) const {
    return load8(line, kHalves + half);
  }
};
