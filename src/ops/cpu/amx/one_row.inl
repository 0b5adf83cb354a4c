// One row of activations, without tiles. Included after bf16/products.inl, before products.inl.
//
// AVX-512 gives a tile product's sums: of even and of odd inputs apart, each product fused with its
// sum, then of both, then with what was there. It is limited by what it reads, where a tile with
// one row waits for its loads and stores.

// The sum of a group, StepPairs pairs a tile product.
template <int StepPairs>
struct TileDots {
  struct Pair {  // of activations
    float even, odd;
  };
  __m512 even, odd, sum;

  STRAKE_INLINE void begin() { even = odd = sum = _mm512_setzero_ps(); }
  STRAKE_INLINE void add(int64_t pair, __m512i w, const Pair& x) {
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
    even = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(w, 16)), _mm512_set1_ps(x.even),
                           even);
    odd = _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(w, upper)), _mm512_set1_ps(x.odd),
                          odd);
    bf16::pin(even);
    bf16::pin(odd);
    if (pair % StepPairs != StepPairs - 1) return;
    sum = _mm512_add_ps(sum, _mm512_add_ps(even, odd));
    even = odd = _mm512_setzero_ps();
  }
};

// Tiles take subnormal numbers for zeros. Codes are multiples of 2^-9 and activations of this size
// of 2^-117, so that no product and no sum of them is subnormal.
constexpr float kLeastActivation = 0x1p-110f;

// -> out [inputs], a multiple of 16; false if one is neither zero nor of kLeastActivation at least.
inline bool widen(const std::byte* x, int64_t inputs, float* out) {
  const __m512i least = _mm512_castps_si512(_mm512_set1_ps(kLeastActivation));
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __mmask16 small = 0;
  for (int64_t i = 0; i < inputs; i += 16) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + 2 * i));
    const __m512i bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
    _mm512_storeu_si512(out + i, bits);
    small |= _mm512_mask_cmplt_epu32_mask(_mm512_test_epi32_mask(bits, magnitude),
                                          _mm512_and_si512(bits, magnitude), least);
  }
  return small == 0;
}

// Of the stack of sums [depth][16] and, after it, the widened row.
inline int64_t stack_floats(const SumSchedule& schedule) { return schedule.depth * kBlockRows; }
inline size_t row_scratch_bytes(const SumSchedule& schedule) {
  const int64_t floats = stack_floats(schedule) + schedule.inputs + kInputsBeyond;
  return static_cast<size_t>(floats) * sizeof(float);
}

// False, and nothing done, where activations are too small for it.
template <class Code, class Scales>
bool multiply_row(const BlockProduct& product) {
  using Dots = TileDots<Code::kRun / 2>;
  using Source = bf16::CodeStream<Code, Scales, bf16::kStreamGroups>;
  float* const row = reinterpret_cast<float*>(product.scratch) + stack_floats(product.schedule);
  if (!widen(product.tiles[0].x, product.schedule.inputs, row)) return false;
  for (int i = 0; i < product.blocks; ++i)
    bf16::multiply_stream<Dots, Source, 1>(
        Source(product.layout, product.block + i * product.stride), product, i,
        reinterpret_cast<const typename Dots::Pair*>(row));
  return true;
}
