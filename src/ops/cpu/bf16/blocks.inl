// Products of two blocks with up to 12 activation rows. Included by products.inl.
//
// 24 chains of sums hide the latency of dot products, and a pair of inputs is loaded once for both
// blocks. Same sums in the same order as streams': a group's sum from zero, pair by pair, then its
// scale.

// ---- Sources of the next group of two blocks.

// The codes as they lie. Where there is no second block, the first is taken twice.
template <class Code, class Scales>
struct CodeBlocks {
  static constexpr bool kScaled = true;
  static constexpr bool kBiased = Scales::kBiased;
  Code coding;
  Scales scales;
  const std::byte* at;
  int64_t to_second;
  int64_t line_bytes;
  int64_t group_size;
  const std::byte* line = nullptr;
  int64_t group = 0;

  explicit CodeBlocks(const BlockProduct& product)
      : scales(product.layout),
        at(product.block),
        to_second((product.blocks - 1) * product.stride),
        line_bytes(product.layout.line_bytes),
        group_size(product.layout.group_size) {}

  template <class Use>
  STRAKE_INLINE void next(Use&& use) {
    if ((group & ((1 << Scales::kGroupsLog2) - 1)) == 0) {
      line = at;
      at += line_bytes;
    }
    ++group;
    const int64_t inputs = kBiased ? group_size : Code::kRun;  // others' groups are one run
    for (int64_t first = 0; first < inputs / 2; first += Code::kRun / 2) {
      const auto use_pair = [&](int pair, const __m512i(&w)[kWide])
                                STRAKE_INLINE_BODY { use(first + pair, w); };
      coding.template run<kWide>(at, to_second, use_pair);
      at += Code::kRunBytes;
    }
  }
  STRAKE_INLINE __m512 scale(int block) const {
    return scales.template scale<Code>(line + block * to_second,
                                       (group - 1) & ((1 << Scales::kGroupsLog2) - 1));
  }
  STRAKE_INLINE __m512 bias(int block, __m512 scale) const {
    return scales.template bias<Code>(line + block * to_second, scale);
  }
};

enum class PairsKind { kPlain, kScaled, kBiased };

// Pairs as they are: dense weights', or what was unpacked, with scales and biases [groups][2][16].
template <PairsKind Kind>
struct PairBlocks {
  static constexpr bool kScaled = Kind != PairsKind::kPlain;
  static constexpr bool kBiased = Kind == PairsKind::kBiased;
  const std::byte* pairs;
  int64_t pitch;      // bytes to a block's next pair
  int64_t to_second;  // bytes to the other block's pair
  int64_t group_size;
  const float* scales = nullptr;
  const float* biases = nullptr;

  template <class Use>
  STRAKE_INLINE void next(Use&& use) {
    for (int64_t pair = 0; pair < group_size / 2; ++pair) {
      const __m512i w[kWide] = {load(pairs), load(pairs + to_second)};
      use(pair, w);
      pairs += pitch;
    }
    scales += kWide * kBlockRows;
    biases += kWide * kBlockRows;
  }
  STRAKE_INLINE __m512 scale(int block) const {
    return _mm512_load_ps(scales + (block - kWide) * kBlockRows);
  }
  STRAKE_INLINE __m512 bias(int block, __m512) const {
    return _mm512_load_ps(biases + (block - kWide) * kBlockRows);
  }
};

// ---- The loop over groups.

// Adds `inputs` inputs from `first` on to a tile's stack [depth][2][rows][16].
template <class Source, int Rows>
void multiply_blocks(Source source, const BlockProduct& product, const Tile& tile, int64_t first,
                     int64_t inputs, SumCursor& cursor, float* stack) {
  constexpr int kLevel = kWide * Rows * kBlockRows;
  const int64_t group_size = source.group_size;
  const auto* x = reinterpret_cast<const uint32_t*>(tile.x) + first / 2 * Rows;
  const float* sums = Source::kBiased ? tile.sums + first / group_size * Rows : nullptr;
  const auto each_block = [](auto body) STRAKE_INLINE_BODY { unrolled<kWide>(body); };
  const auto each_row = [](auto body) STRAKE_INLINE_BODY { unrolled<Rows>(body); };
  for (int64_t left = inputs; left > 0; left -= group_size) {
    __m512 sum[Rows][kWide];
    each_row([&](auto m) STRAKE_INLINE_BODY {
      each_block([&](auto b) STRAKE_INLINE_BODY { sum[m][b] = _mm512_setzero_ps(); });
    });
    source.next([&](int64_t pair, const __m512i(&w)[kWide]) STRAKE_INLINE_BODY {
      each_row([&](auto m) STRAKE_INLINE_BODY {
        each_block([&](auto b) STRAKE_INLINE_BODY {
          sum[m][b] = dot(sum[m][b], w[b], x[pair * Rows + m]);
          pin(sum[m][b]);
        });
      });
    });
    x += group_size / 2 * Rows;
    float* const top = stack + cursor.height * kLevel;
    if (cursor.left == cursor.step->inputs) std::fill_n(top, kLevel, 0.0f);
    each_block([&](auto b) STRAKE_INLINE_BODY {
      __m512 scale, bias;
      if constexpr (Source::kScaled) scale = source.scale(b);
      if constexpr (Source::kBiased) bias = source.bias(b, scale);
      each_row([&](auto m) STRAKE_INLINE_BODY {
        float* const at = top + (b * Rows + m) * kBlockRows;
        __m512 total = _mm512_load_ps(at);
        if constexpr (Source::kScaled)
          total = _mm512_fmadd_ps(scale, sum[m][b], total);
        else
          total = _mm512_add_ps(total, sum[m][b]);
        if constexpr (Source::kBiased)
          total = _mm512_fmadd_ps(bias, _mm512_set1_ps(sums[m]), total);
        _mm512_store_ps(at, total);
      });
    });
    if constexpr (Source::kBiased) sums += Rows;
    cursor.left -= group_size;
    if (cursor.left > 0) continue;
    float* sum_of_step = top;
    for (int merge = 0; merge < cursor.step->merges; ++merge) {
      float* const lower = sum_of_step - kLevel;
      for (int i = 0; i < kLevel; i += kBlockRows)
        _mm512_store_ps(lower + i,
                        _mm512_add_ps(_mm512_load_ps(lower + i), _mm512_load_ps(sum_of_step + i)));
      sum_of_step = lower;
    }
    cursor.height -= cursor.step->merges;
    if (cursor.step->node < 0)
      ++cursor.height;
    else
      for (int i = 0; i < kWide * Rows; ++i)
        put(product, i / Rows, cursor, tile.out[i % Rows],
            _mm512_load_ps(sum_of_step + i * kBlockRows));
    cursor.next();
  }
}

template <class Code, class Scales>
struct DirectBlocks {
  template <int Rows>
  static void multiply(const BlockProduct& product) {
    SumCursor cursor(product.schedule);
    multiply_blocks<CodeBlocks<Code, Scales>, Rows>(
        CodeBlocks<Code, Scales>(product), product, product.tiles[0], 0, product.schedule.inputs,
        cursor, reinterpret_cast<float*>(product.scratch));
  }
};
