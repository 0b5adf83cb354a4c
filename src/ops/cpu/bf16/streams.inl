// Products with up to four activation rows: codes go from memory through registers. Included by
// products.inl.
//
// A block is read from its beginning to its end, so that blocks that follow each other are one
// stream from memory. A group's sum is a chain of dependent instructions; four groups in turn hide
// their latency.

constexpr int kStreamGroups = 4;
static_assert(kReadBeyond > (kStreamGroups - 1) * (kBlockRows * 128 + 2 * kBlockRows * 4),
              "the last batch may begin with the block's last group");

// ---- Sources of the next Groups groups: next() hands out their pairs, scale() and bias() theirs.

template <class Code, class Scales, int Groups>
struct CodeStream {
  static constexpr int kGroups = Groups;
  static constexpr bool kScaled = true;
  static constexpr bool kBiased = Scales::kBiased;
  Code coding;
  Scales scales;
  const std::byte* at;
  int64_t line_bytes;
  int64_t group_size;
  int64_t stride;  // from a group's line to the next group's, where each has its own
  const std::byte* line = nullptr;
  int64_t in_line = -Groups;

  CodeStream(const BlockLayout& layout, const std::byte* block)
      : scales(layout),
        at(block),
        line_bytes(layout.line_bytes),
        group_size(layout.group_size),
        stride(layout.line_bytes + layout.group_bytes) {}

  template <class Use>
  STRAKE_INLINE void next(Use&& use) {
    if constexpr (kBiased) {
      line = at;
      at += Groups * stride;
      unrolled<Groups>([&](auto g)
                           STRAKE_INLINE_BODY { prefetch(line + g * stride + Code::kAhead); });
      const std::byte* codes = line + line_bytes;
      for (int64_t first = 0; first < group_size / 2; first += Code::kRun / 2) {
        const auto use_pair = [&](int pair, const __m512i(&w)[Groups])
                                  STRAKE_INLINE_BODY { use(first + pair, w); };
        coding.template run<Groups>(codes, stride, use_pair);
        codes += Code::kRunBytes;
      }
    } else {  // a group is one run, and a line is of several groups
      in_line = (in_line + Groups) & ((1 << Scales::kGroupsLog2) - 1);
      if (in_line == 0) {
        line = at;
        at += line_bytes;
        prefetch(line + Code::kAhead);
      }
      coding.template run<Groups>(at, Code::kRunBytes, use);
      at += Groups * Code::kRunBytes;
    }
  }
  STRAKE_INLINE __m512 scale(int g) const {
    if constexpr (kBiased) return scales.template scale<Code>(line + g * stride, 0);
    return scales.template scale<Code>(line, in_line + g);
  }
  STRAKE_INLINE __m512 bias(int g, __m512 scale) const {
    return scales.template bias<Code>(line + g * stride, scale);
  }
};

// Dense weights' pairs, as they are.
struct PairStream {
  static constexpr int kGroups = kStreamGroups;
  static constexpr bool kScaled = false;
  static constexpr bool kBiased = false;
  const std::byte* at;
  int64_t group_size;

  template <class Use>
  STRAKE_INLINE void next(Use&& use) {
    const int64_t stride = group_size / 2 * kRegister;
    for (int64_t pair = 0; pair < group_size / 2; ++pair) {
      __m512i w[kGroups];
      unrolled<kGroups>([&](auto g) STRAKE_INLINE_BODY {
        w[g] = load_and_prefetch<8192>(at + g * stride + pair * kRegister);
      });
      use(pair, w);
    }
    at += kGroups * stride;
  }
};

// ---- Sums of a group, pair by pair from zero.

// In `vdpbf16ps`' order.
struct PairDots {
  using Pair = uint32_t;  // of activations
  __m512 sum;

  // Constructors that compilers make know no target.
  STRAKE_INLINE void begin() { sum = _mm512_setzero_ps(); }
  STRAKE_INLINE void add(int64_t /*pair*/, __m512i w, Pair x) {
    sum = dot(sum, w, x);
    pin(sum);
  }
};

// ---- The loop over groups.

// Block `block` of the product with rows of which `x` [inputs / 2][Rows] are the pairs.
template <class Dots, class Source, int Rows>
void multiply_stream(Source source, const BlockProduct& product, int block,
                     const typename Dots::Pair* x) {
  constexpr int kGroups = Source::kGroups;
  const int64_t group_size = source.group_size;
  const int64_t group_pairs = group_size / 2;
  const Tile& tile = product.tiles[0];
  const float* sums = tile.sums;
  auto* const stack = reinterpret_cast<float*>(product.scratch);  // [depth][rows][16]
  const auto slot = [&](int height, int m)
                        STRAKE_INLINE_BODY { return stack + (height * Rows + m) * kBlockRows; };
  const auto each_row = [](auto body) STRAKE_INLINE_BODY { unrolled<Rows>(body); };
  SumCursor cursor(product.schedule);
  __m512 total[Rows];
  each_row([&](auto m) STRAKE_INLINE_BODY { total[m] = _mm512_setzero_ps(); });
  for (;;) {
    Dots dots[kGroups][Rows];
    unrolled<kGroups>([&](auto g) STRAKE_INLINE_BODY {
      each_row([&](auto m) STRAKE_INLINE_BODY { dots[g][m].begin(); });
    });
    source.next([&](int64_t pair, const __m512i(&w)[kGroups]) STRAKE_INLINE_BODY {
      unrolled<kGroups>([&](auto g) STRAKE_INLINE_BODY {
        const auto* const at = x + (g * group_pairs + pair) * Rows;
        each_row([&](auto m) STRAKE_INLINE_BODY { dots[g][m].add(pair, w[g], at[m]); });
      });
    });
    x += kGroups * group_pairs * Rows;
    bool ended = false;
    unrolled<kGroups>([&](auto g) STRAKE_INLINE_BODY {
      if (ended) return;
      if constexpr (Source::kScaled) {
        const __m512 scale = source.scale(g);
        each_row([&](auto m) STRAKE_INLINE_BODY {
          total[m] = _mm512_fmadd_ps(scale, dots[g][m].sum, total[m]);
        });
        if constexpr (Source::kBiased) {
          const __m512 bias = source.bias(g, scale);
          each_row([&](auto m) STRAKE_INLINE_BODY {
            total[m] = _mm512_fmadd_ps(bias, _mm512_set1_ps(sums[g * Rows + m]), total[m]);
          });
        }
      } else {
        each_row([&](auto m)
                     STRAKE_INLINE_BODY { total[m] = _mm512_add_ps(total[m], dots[g][m].sum); });
      }
      cursor.left -= group_size;
      if (cursor.left > 0) [[likely]]
        return;
      for (int merge = 0; merge < cursor.step->merges; ++merge) {
        --cursor.height;
        each_row([&](auto m) STRAKE_INLINE_BODY {
          total[m] = _mm512_add_ps(_mm512_load_ps(slot(cursor.height, m)), total[m]);
        });
      }
      if (cursor.step->node < 0) {
        each_row([&](auto m)
                     STRAKE_INLINE_BODY { _mm512_store_ps(slot(cursor.height, m), total[m]); });
        ++cursor.height;
      } else {
        each_row([&](auto m)
                     STRAKE_INLINE_BODY { put(product, block, cursor, tile.out[m], total[m]); });
      }
      each_row([&](auto m) STRAKE_INLINE_BODY { total[m] = _mm512_setzero_ps(); });
      ended = !cursor.next();
    });
    if (ended) return;
    sums += kGroups * Rows;
  }
}

inline const uint32_t* pairs_of(const Tile& tile) {
  return reinterpret_cast<const uint32_t*>(tile.x);
}

template <class Code, class Scales>
struct CodeStreams {
  template <int Rows>
  static void multiply(const BlockProduct& product) {
    using Source = CodeStream<Code, Scales, kStreamGroups>;
    multiply_stream<PairDots, Source, Rows>(Source(product.layout, product.block), product, 0,
                                            pairs_of(product.tiles[0]));
  }
};

struct PairStreams {
  template <int Rows>
  static void multiply(const BlockProduct& product) {
    multiply_stream<PairDots, PairStream, Rows>({product.block, product.schedule.unit}, product, 0,
                                                pairs_of(product.tiles[0]));
  }
};
