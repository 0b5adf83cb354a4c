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
// kWordInputs inputs; what is left over, pieces() takes from the whole run. Numbers are handed out
// as use(input, half, values of 8 rows). The value of a code is (v - kOffset) * kFactor for the v
// that is handed out times the factor of its input: a field that is converted where it lies in its
// lane is 2^place times too large, which the activation makes good.

// Factors of the inputs of a run of 32.
using InputFactors = std::array<float, 32>;

// `Width` bits from `place` on of each lane, as a number 2^place times as large; the uppermost
// field is moved down instead, because conversion takes the uppermost bit for a sign.
template <int Width, int Place>
STRAKE_INLINE __m256 field(__m256i lanes) {
  if constexpr (Place + Width == 32) return _mm256_cvtepi32_ps(_mm256_srli_epi32(lanes, Place));
  return _mm256_cvtepi32_ps(
      _mm256_and_si256(lanes, _mm256_set1_epi32(static_cast<int>(((1u << Width) - 1) << Place))));
}
constexpr float field_factor(int width, int place) {
  return place + width == 32 ? 1.0f : 1.0f / static_cast<float>(1u << place);
}

// Unsigned codes of Bits <= 6 bits in fields of their own, and pieces of what is left over.
template <int Bits>
struct Integers {
  static constexpr int kRun = 32;
  static constexpr int kWords = Bits;
  static constexpr int kWordInputs = 2 * Fields<Bits>::kPerWord;
  static constexpr float kOffset = 0.0f;
  static constexpr float kFactor = 1.0f;
  using F = Fields<Bits>;
  static constexpr auto kInputFactors = [] {
    InputFactors factors;
    for (int i = 0; i < kRun; ++i)
      factors[static_cast<size_t>(i)] =
          i / 2 < F::kWhole ? field_factor(Bits, i / 2 % F::kPerWord * Bits + 16 * (i % 2)) : 1.0f;
    return factors;
  }();

  // The code of an input whose pieces lie in several words.
  template <int Input>
  static STRAKE_INLINE __m256 assembled(const std::byte* at) {
    __m256i code = _mm256_setzero_si256();
    unrolled<F::kPieces>([&](auto index) STRAKE_INLINE_BODY {
      constexpr auto kPiece = F::piece(Input / 2, index);
      constexpr int kFrom = kPiece.word_shift + 16 * (Input % 2);
      constexpr int kTo = kPiece.code_shift;
      const __m256i word = load(at + kPiece.word * kRegister);
      const __m256i moved = kFrom > kTo ? _mm256_srli_epi32(word, kFrom - kTo) : word;
      code = _mm256_or_si256(
          code, _mm256_and_si256(moved, _mm256_set1_epi32(((1 << kPiece.bits) - 1) << kTo)));
    });
    return _mm256_cvtepi32_ps(code);
  }

  template <class Use>
  STRAKE_INLINE void word(const std::byte* at, Use&& use) const {
    const __m256i lanes[kHalves] = {load(at), load(at + kHalfBytes)};
    unrolled<kWordInputs>([&](auto i) STRAKE_INLINE_BODY {
      unrolled<kHalves>([&](auto half) STRAKE_INLINE_BODY {
        use(i, half, field<Bits, i / 2 * Bits + 16 * (i % 2)>(lanes[half]));
      });
    });
  }
  template <class Use>
  STRAKE_INLINE void pieces(const std::byte* at, Use&& use) const {
    unrolled<kRun - 2 * F::kWhole>([&](auto rest) STRAKE_INLINE_BODY {
      constexpr int kInput = 2 * F::kWhole + rest;
      unrolled<kHalves>([&](auto half) STRAKE_INLINE_BODY {
        use(kInput, half, assembled<kInput>(at + half * kHalfBytes));
      });
    });
  }
};

// Four-bit floating codes: a table makes bytes of them, twice the value and 12, so that none is
// negative. Of each word, the even codes are looked up together and the odd ones.
template <int Run>
struct FourBitTable {
  static constexpr int kRun = Run;
  static constexpr int kWords = Run / 8;
  static constexpr int kWordInputs = 8;
  static constexpr float kOffset = 12.0f;
  static constexpr float kFactor = 0.5f;
  static constexpr int place(int input) { return input / 2 % 4 / 2 * 8 + 16 * (input % 2); }
  static constexpr auto kInputFactors = [] {
    InputFactors factors;
    for (int i = 0; i < 32; ++i) factors[static_cast<size_t>(i)] = field_factor(8, place(i));
    return factors;
  }();
  static constexpr auto kTable = [] {
    std::array<uint8_t, 32> values{};  // of each half
    for (uint32_t i = 0; i < 32; ++i)
      values[i] = static_cast<uint8_t>(static_cast<int>(2 * E2M1::decode(i % 16)) + 12);
    return values;
  }();
  __m256i table = load(reinterpret_cast<const std::byte*>(kTable.data()));

  template <class Use>
  STRAKE_INLINE void word(const std::byte* at, Use&& use) const {
    const __m256i nibbles = _mm256_set1_epi8(15);
    __m256i looked_up[kHalves][2];
    unrolled<kHalves>([&](auto half) STRAKE_INLINE_BODY {
      const __m256i codes = load(at + half * kHalfBytes);
      looked_up[half][0] = _mm256_shuffle_epi8(table, _mm256_and_si256(codes, nibbles));
      looked_up[half][1] =
          _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibbles));
    });
    unrolled<8>([&](auto i) STRAKE_INLINE_BODY {
      unrolled<kHalves>([&](auto half) STRAKE_INLINE_BODY {
        use(i, half, field<8, place(i)>(looked_up[half][i / 2 % 2]));
      });
    });
  }
  template <class Use>
  STRAKE_INLINE void pieces(const std::byte*, Use&&) const {}
};

// The bytes of four inputs of 8 rows: of the first pair of inputs and of the second, each row's
// even and odd input side by side. (Moving quarters within a register takes longer than two loads.)
struct BytePairs {
  __m128i pair[2];
};
STRAKE_INLINE BytePairs load_pairs(const std::byte* at) {
  const __m128i first_rows = load_bytes16(at), last_rows = load_bytes16(at + 16);
  return {{_mm_unpacklo_epi64(first_rows, last_rows), _mm_unpackhi_epi64(first_rows, last_rows)}};
}

// Unsigned 8-bit codes, stored as to_sign_magnitude() has them.
struct Bytes {
  static constexpr int kRun = 32;
  static constexpr int kWords = 8;
  static constexpr int kWordInputs = 4;
  static constexpr float kOffset = 0.0f;
  static constexpr float kFactor = 1.0f;

  template <class Use>
  STRAKE_INLINE void word(const std::byte* at, Use&& use) const {
    const BytePairs stored[kHalves] = {load_pairs(at), load_pairs(at + kHalfBytes)};
    unrolled<2>([&](auto pair) STRAKE_INLINE_BODY {
      constexpr int kInput = pair * 2;
      __m256i lanes[kHalves];
      unrolled<kHalves>([&](auto half) STRAKE_INLINE_BODY {
        const __m128i bytes = stored[half].pair[pair];
        const __m128i negative = _mm_cmpgt_epi8(_mm_setzero_si128(), bytes);
        lanes[half] = _mm256_cvtepu16_epi32(
            _mm_xor_si128(bytes, _mm_or_si128(negative, _mm_set1_epi8(static_cast<char>(0x80)))));
        use(kInput, half,
            _mm256_cvtepi32_ps(_mm256_and_si256(lanes[half], _mm256_set1_epi32(0xff))));
      });
      unrolled<kHalves>([&](auto half) STRAKE_INLINE_BODY {
        use(kInput + 1, half, _mm256_cvtepi32_ps(_mm256_srli_epi32(lanes[half], 8)));
      });
    });
  }
  template <class Use>
  STRAKE_INLINE void pieces(const std::byte*, Use&&) const {}
};

// e4m3: with one exponent bit more, the code is a binary16 number of 2^-8 times the value,
// subnormal numbers included.
struct Floats8 {
  static constexpr int kRun = 32;
  static constexpr int kWords = 8;
  static constexpr int kWordInputs = 4;
  static constexpr float kOffset = 0.0f;
  static constexpr float kFactor = 256.0f;

  template <class Use>
  STRAKE_INLINE void word(const std::byte* at, Use&& use) const {
    const __m128i mask = _mm_set1_epi16(static_cast<short>(0xbf80));
    const BytePairs codes[kHalves] = {load_pairs(at), load_pairs(at + kHalfBytes)};
    const auto number = [&](__m128i upper_bytes) STRAKE_INLINE_BODY {
      return _mm256_cvtph_ps(_mm_and_si128(_mm_srai_epi16(upper_bytes, 1), mask));
    };
    unrolled<2>([&](auto pair) STRAKE_INLINE_BODY {
      constexpr int kInput = pair * 2;
      unrolled<kHalves>([&](auto half) STRAKE_INLINE_BODY {
        use(kInput, half, number(_mm_slli_epi16(codes[half].pair[pair], 8)));
      });
      unrolled<kHalves>([&](auto half) STRAKE_INLINE_BODY {
        use(kInput + 1, half, number(codes[half].pair[pair]));
      });
    });
  }
  template <class Use>
  STRAKE_INLINE void pieces(const std::byte*, Use&&) const {}
};

// ---- Scales of a group: of 8 rows.

struct PowerScales {
  static constexpr bool kStoredBiases = false;
  static constexpr int kGroupsLog2 = 2;
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
  static constexpr int kGroupsLog2 = 2;
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
  static constexpr int kGroupsLog2 = 0;
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
