// Codes and scales of 16 rows in registers: included by products.inl.

STRAKE_INLINE __m512i load(const std::byte* from) { return _mm512_loadu_si512(from); }
STRAKE_INLINE void prefetch(const std::byte* at) {
  _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0);
}
STRAKE_INLINE __m512 dot(__m512 sum, __m512i w, uint32_t pair) {
  return _mm512_dpbf16_ps(sum, (__m512bh)w, (__m512bh)_mm512_set1_epi32(static_cast<int>(pair)));
}

// A point that the value is computed by: without such, the compiler may gather the loads of a whole
// run first and spill them.
STRAKE_INLINE void pin(__m512& value) { asm volatile("" : "+v"(value)); }

template <int Count, class Body>
STRAKE_INLINE void unrolled(Body&& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) STRAKE_INLINE_BODY {
    (body(std::integral_constant<int, I>()), ...);
  }
  (std::make_integer_sequence<int, Count>());
}

// ---- Codings: runs of codes of Ways groups, `stride` bytes apart, side by side as bfloat16 pairs:
// use(pair, w) with a register of each. The value of a code c is (v - kOffset) * kFactor for the v
// that is handed out. What is kAhead bytes on is fetched meanwhile (found by trial), because
// several groups in turn are no pattern that processors foresee.

template <int Ahead>
STRAKE_INLINE __m512i load_and_prefetch(const std::byte* from) {
  prefetch(from + Ahead);
  return load(from);
}

// Codes of Bits <= 6 bits become a part of the mantissa of a power of two, where one field of each
// word or byte lies already: v = kOffset + c. The smaller that offset, the less is lost when its
// share is subtracted from the sum. Where a field ends with the first byte of its word, a load from
// one byte on saves the shift to the second.
template <int Bits>
struct Integers {
  static constexpr int kRun = 32;
  static constexpr int kRunBytes = Bits * kRegister;
  static constexpr int kAhead = 12288;
  static constexpr int kPlace = Bits == 2 ? 4 : Bits == 3 ? 3 : 0;  // of a code's lowest bit
  static constexpr float kOffset = 128 >> kPlace;
  static constexpr float kFactor = 1.0f;
  using F = Fields<Bits>;
  static constexpr bool kByByte = 8 % Bits == 0;

  // Bits [from, from + count) of each word, moved to bit `to`.
  template <int From, int To>
  static STRAKE_INLINE __m512i moved(__m512i words) {
    if constexpr (From > To) return _mm512_srli_epi16(words, From - To);
    if constexpr (From < To) return _mm512_slli_epi16(words, To - From);
    return words;
  }
  static STRAKE_INLINE __m512i mask(int from, int bits) {
    return _mm512_set1_epi16(static_cast<short>(((1 << bits) - 1) << from));
  }

  template <int Ways, class Use>
  STRAKE_INLINE void run(const std::byte* at, int64_t stride, Use&& use) const {
    const __m512i one = _mm512_set1_epi16(static_cast<short>((134 - kPlace) << 7));
    __m512i words[Bits][Ways], w[Ways];
    unrolled<Bits>([&](auto q) STRAKE_INLINE_BODY {
      unrolled<Ways>([&](auto i) STRAKE_INLINE_BODY {
        words[q][i] = load_and_prefetch<kAhead>(at + i * stride + q * kRegister);
      });
      unrolled<F::kPerWord>([&](auto k) STRAKE_INLINE_BODY {
        constexpr int kBit = k * Bits;
        unrolled<Ways>([&](auto i) STRAKE_INLINE_BODY {
          const __m512i field =
              kByByte && kBit >= 8
                  ? moved<kBit % 8, kPlace>(load(at + i * stride + q * kRegister + 1))
                  : moved<kBit, kPlace>(words[q][i]);
          w[i] = _mm512_ternarylogic_epi32(field, mask(kPlace, Bits), one, 0xea);  // a & b | c
        });
        use(q * F::kPerWord + k, w);
      });
    });
    unrolled<16 - F::kWhole>([&](auto rest) STRAKE_INLINE_BODY {
      constexpr int kPair = F::kWhole + rest;
      unrolled<Ways>([&](auto i) STRAKE_INLINE_BODY {
        __m512i value = one;
        unrolled<F::kPieces>([&](auto index) STRAKE_INLINE_BODY {
          constexpr auto kPiece = F::piece(kPair, index);
          constexpr int kTo = kPlace + kPiece.code_shift;
          const __m512i bits = moved<kPiece.word_shift, kTo>(words[kPiece.word][i]);
          value =
              _mm512_ternarylogic_epi32(value, bits, mask(kTo, kPiece.bits), 0xf8);  // a | b & c
        });
        w[i] = value;
      });
      use(kPair, w);
    });
  }
};

// Four-bit floating codes: the 16 values fit a register, twice, since the index has five bits of
// which the uppermost belongs to the next code.
template <int Run>
struct FourBitTable {
  static constexpr int kRun = Run;
  static constexpr int kRunBytes = Run / 8 * kRegister;
  static constexpr int kAhead = 12288;
  static constexpr float kOffset = 0.0f;
  static constexpr float kFactor = 1.0f;
  static constexpr auto kTable = [] {
    std::array<uint16_t, 32> values{};
    for (uint32_t i = 0; i < 32; ++i) values[i] = to_bf16(E2M1::decode(i % 16)).bits;
    return values;
  }();
  __m512i table;

  FourBitTable() : table(_mm512_loadu_si512(kTable.data())) {}

  template <int Ways, class Use>
  STRAKE_INLINE void run(const std::byte* at, int64_t stride, Use&& use) const {
    unrolled<Run / 8>([&](auto q) STRAKE_INLINE_BODY {
      __m512i words[2][Ways], w[Ways];
      unrolled<Ways>([&](auto i) STRAKE_INLINE_BODY {
        words[0][i] = load_and_prefetch<kAhead>(at + i * stride + q * kRegister);
        words[1][i] = load(at + i * stride + q * kRegister + 1);  // the words' second bytes
      });
      unrolled<4>([&](auto k) STRAKE_INLINE_BODY {
        unrolled<Ways>([&](auto i) STRAKE_INLINE_BODY {
          const __m512i word = words[k / 2][i];
          const __m512i index = k % 2 == 0 ? word : _mm512_srli_epi16(word, 4);
          w[i] = _mm512_permutexvar_epi16(index, table);
        });
        use(q * 4 + k, w);
      });
    });
  }
};

// Eight-bit codes of sign and magnitude: the lower and the upper byte of the magnitude's value come
// from tables of 128, the sign from the code.
template <class Value>
struct ByteTable {
  static constexpr int kRun = 32;
  static constexpr int kRunBytes = 8 * kRegister;
  static constexpr int kAhead = 8192;
  static constexpr float kOffset = Value::kOffset;
  static constexpr float kFactor = Value::kFactor;
  static constexpr auto kTables = [] {
    std::array<std::array<uint8_t, 128>, 2> bytes{};
    for (uint32_t i = 0; i < 128; ++i) {
      const uint16_t bits = to_bf16(Value::magnitude(i)).bits;
      bytes[0][i] = static_cast<uint8_t>(bits);
      bytes[1][i] = static_cast<uint8_t>(bits >> 8);
    }
    return bytes;
  }();
  static __m512i half(int table, int index) {
    return _mm512_loadu_si512(kTables[static_cast<size_t>(table)].data() + index * kRegister);
  }
  __m512i low[2], high[2];

  ByteTable() : low{half(0, 0), half(0, 1)}, high{half(1, 0), half(1, 1)} {}

  template <int Ways, class Use>
  STRAKE_INLINE void run(const std::byte* at, int64_t stride, Use&& use) const {
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
    unrolled<8>([&](auto q) STRAKE_INLINE_BODY {
      __m512i lower[Ways], upper[Ways], w[Ways];
      unrolled<Ways>([&](auto i) STRAKE_INLINE_BODY {
        const __m512i codes = load_and_prefetch<kAhead>(at + i * stride + q * kRegister);
        lower[i] = _mm512_permutex2var_epi8(low[0], codes, low[1]);
        upper[i] = _mm512_ternarylogic_epi32(_mm512_permutex2var_epi8(high[0], codes, high[1]),
                                             codes, sign, 0xf8);  // a | b & c
        w[i] = _mm512_unpacklo_epi8(lower[i], upper[i]);
      });
      use(2 * q, w);
      unrolled<Ways>([&](auto i)
                         STRAKE_INLINE_BODY { w[i] = _mm512_unpackhi_epi8(lower[i], upper[i]); });
      use(2 * q + 1, w);
    });
  }
};

struct OddIntegers {  // v = 2 c - 255
  static constexpr float kOffset = -255.0f;
  static constexpr float kFactor = 0.5f;
  static constexpr float magnitude(uint32_t index) { return static_cast<float>(2 * index + 1); }
};

struct Floats8 {
  static constexpr float kOffset = 0.0f;
  static constexpr float kFactor = 1.0f;
  static constexpr float magnitude(uint32_t index) { return E4M3::decode(index); }
};

// ---- Scales of a group, 16 rows side by side.

struct PowerScales {
  static constexpr bool kBiased = false;
  static constexpr int kGroupsLog2 = 2;
  explicit PowerScales(const BlockLayout&) {}
  template <class Code>
  STRAKE_INLINE __m512 scale(const std::byte* line, int64_t index) const {
    const __m512i exponents = _mm512_cvtepu8_epi32(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(line + index * kBlockRows)));
    // Exponent 0 is 2^-127, which float32 holds as a subnormal number.
    return _mm512_castsi512_ps(
        _mm512_max_epu32(_mm512_slli_epi32(exponents, 23), _mm512_set1_epi32(0x00400000)));
  }
};

struct FloatScales8 {
  static constexpr bool kBiased = false;
  static constexpr int kGroupsLog2 = 2;
  explicit FloatScales8(const BlockLayout&) {}
  template <class Code>
  STRAKE_INLINE __m512 scale(const std::byte* line, int64_t index) const {
    const __m512i bytes = _mm512_cvtepi8_epi32(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(line + index * kBlockRows)));
    // Exponent and mantissa as float32's, 120 too small in the exponent: exact, subnormals too.
    const __m512i bits = _mm512_and_si512(_mm512_slli_epi32(bytes, 20),
                                          _mm512_set1_epi32(static_cast<int>(0x87f00000u)));
    return _mm512_mul_ps(_mm512_castsi512_ps(bits), _mm512_set1_ps(0x1p120f));
  }
};

struct AffineScales {
  static constexpr bool kBiased = true;
  static constexpr int kGroupsLog2 = 0;
  Scaling scaling;
  explicit AffineScales(const BlockLayout& layout) : scaling(layout.scaling) {}

  STRAKE_INLINE __m512 load16(const std::byte* from, int64_t index) const {
    if (scaling == Scaling::kF32)
      return _mm512_loadu_ps(reinterpret_cast<const float*>(from) + index * kBlockRows);
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from) + index);
    if (scaling == Scaling::kF16) return _mm512_cvtph_ps(halves);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  template <class Code>
  STRAKE_INLINE __m512 scale(const std::byte* line, int64_t) const {
    const __m512 scale = load16(line, 0);
    return Code::kFactor == 1.0f ? scale : _mm512_mul_ps(scale, _mm512_set1_ps(Code::kFactor));
  }
  template <class Code>
  STRAKE_INLINE __m512 bias(const std::byte* line, __m512 scale) const {
    return _mm512_fnmadd_ps(_mm512_set1_ps(Code::kOffset), scale, load16(line, 1));
  }
};
