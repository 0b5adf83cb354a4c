// The loop over groups, and what it takes numbers from: included by products.cpp.
//
// A group's sum starts from zero and takes its inputs in order; then it is multiplied by the
// group's scale. Few activation rows take codes as they come, for many they are unpacked once into
// a panel: the same numbers in the same order, so the same bits.

// ---- Sources of groups: next() hands out numbers of the next Groups groups, use(group, input,
// half, values), and scale() and bias() are theirs.

template <class Code, class Scales>
struct CodeSource {
  static constexpr bool kPanel = false;
  static constexpr int kInTurn = kStreamGroups;
  static constexpr bool kScaled = true;
  static constexpr bool kBiased = Scales::kStoredBiases || Code::kOffset != 0.0f;
  static constexpr float kFactor = Code::kFactor;
  Code coding{};
  Scales scales;
  const BlockLayout& layout;
  const std::byte* block;
  int64_t group_size;
  int64_t group = 0;
  const std::byte* group_scales = nullptr;  // of the first of the last groups

  CodeSource(const BlockLayout& its_layout, const std::byte* its_block)
      : scales(its_layout),
        layout(its_layout),
        block(its_block),
        group_size(its_layout.group_size) {}

  // The groups share a line.
  template <int Groups, class Use>
  STRAKE_INLINE void next(Use&& use) {
    constexpr int kTogether = std::min(Groups, kGroupsTogether);
    // Others' groups are one run.
    const int64_t inputs = Scales::kStoredBiases ? group_size : Code::kRun;
    const int64_t stride = layout.codes_stride(group);
    const std::byte* const first_codes = block + layout.codes_offset(group);
    const std::byte* codes[Groups];
    unrolled<Groups>([&](auto g) STRAKE_INLINE_BODY { codes[g] = first_codes + g * kRegister; });
    group_scales = block + layout.scales_offset(group);
    for (int64_t i = 0; i < Groups * layout.scales_bytes; i += kRegister)
      prefetch(group_scales + i + kAhead);
    // Of kTogether groups from `g` on.
    const auto use_from = [&use](auto g, int64_t first) STRAKE_INLINE_BODY {
      return [&use, g, first](int of, int i, int half, __m256 values)
                 STRAKE_INLINE_BODY { use(g + of, first + i, half, values); };
    };
    for (int64_t first = 0; first < inputs; first += Code::kRun) {
      for (int word = 0; word < Code::kWords; ++word)
        unrolled<Groups / kTogether>([&](auto turn) STRAKE_INLINE_BODY {
          constexpr std::integral_constant<int, turn * kTogether> kFirst;
          unrolled<kTogether>([&](auto g) STRAKE_INLINE_BODY {
            prefetch(codes[kFirst + g] + word * stride + kAhead);
          });
          coding.template word<kTogether>(codes + kFirst, word * stride,
                                          use_from(kFirst, first + word * Code::kWordInputs));
        });
      unrolled<Groups / kTogether>([&](auto turn) STRAKE_INLINE_BODY {
        constexpr std::integral_constant<int, turn * kTogether> kFirst;
        coding.template pieces<kTogether>(codes + kFirst, stride, use_from(kFirst, first));
      });
      unrolled<Groups>([&](auto g) STRAKE_INLINE_BODY { codes[g] += Code::kWords * stride; });
    }
    group += Groups;
  }
  // Of the g-th of the last Groups groups.
  template <int Groups>
  STRAKE_INLINE __m256 scale(int g, int half) const {
    return scales.scale(group_scales + g * layout.scales_bytes, half);
  }
  template <int Groups>
  STRAKE_INLINE __m256 bias(int g, int half, __m256 scale) const {
    __m256 stored = _mm256_setzero_ps();
    if constexpr (Scales::kStoredBiases)
      stored = scales.bias(group_scales + g * layout.scales_bytes, half);
    if constexpr (Code::kOffset == 0.0f) return stored;
    return _mm256_fnmadd_ps(_mm256_set1_ps(Code::kOffset), scale, stored);
  }
};

// Dense bfloat16 weights, pairs of inputs side by side. One group's chains are as fast as memory.
struct PairSource {
  static constexpr bool kPanel = false;
  static constexpr int kInTurn = 1;
  static constexpr bool kScaled = false;
  static constexpr bool kBiased = false;
  static constexpr float kFactor = 1.0f;
  const std::byte* at;
  int64_t group_size;

  template <int Groups, class Use>
  STRAKE_INLINE void next(Use&& use) {
    const int64_t group_bytes = group_size / 2 * kRegister;
    const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
    for (int64_t pair = 0; pair < group_size / 2; ++pair)
      unrolled<Groups>([&](auto g) STRAKE_INLINE_BODY {
        prefetch(at + g * group_bytes + pair * kRegister + kAhead);
        unrolled<kHalves>([&](auto half) STRAKE_INLINE_BODY {
          const __m256i words = load(at + g * group_bytes + pair * kRegister + half * kHalfBytes);
          use(g, 2 * pair, half, _mm256_castsi256_ps(_mm256_slli_epi32(words, 16)));
          use(g, 2 * pair + 1, half, _mm256_castsi256_ps(_mm256_and_si256(words, upper)));
        });
      });
    at += Groups * group_bytes;
  }
};

template <bool Scaled, bool Biased>
struct PanelSource {
  static constexpr bool kPanel = true;
  static constexpr bool kScaled = Scaled;
  static constexpr bool kBiased = Biased;
  static constexpr float kFactor = 1.0f;
  const float* values;
  const float* scales;
  const float* biases;
  int64_t group_size;

  PanelSource(const Panel& panel, int64_t its_group_size)
      : values(panel.values),
        scales(panel.scales),
        biases(panel.biases),
        group_size(its_group_size) {}

  // Adds the next group to the sums of a tile.
  template <int Rows>
  STRAKE_INLINE void add_group(const float* x, __m256 (&sum)[1][Rows][kHalves]) {
    const float* at = values;
    const float* const end = at + group_size * kBlockRows;
    for (; at != end; at += kBlockRows, x += Rows) {
      const __m256 first = _mm256_load_ps(at), second = _mm256_load_ps(at + 8);
      unrolled<Rows>([&](auto m) STRAKE_INLINE_BODY {
        const __m256 input = _mm256_broadcast_ss(x + m);
        sum[0][m][0] = _mm256_fmadd_ps(first, input, sum[0][m][0]);
        sum[0][m][1] = _mm256_fmadd_ps(second, input, sum[0][m][1]);
        pin(sum[0][m][1]);
      });
    }
    values = end;
    scales += kBlockRows;
    biases += kBlockRows;
  }
  template <int Groups>
  STRAKE_INLINE __m256 scale(int, int half) const {
    return _mm256_load_ps(scales - kBlockRows + half * 8);
  }
  template <int Groups>
  STRAKE_INLINE __m256 bias(int, int half, __m256) const {
    return _mm256_load_ps(biases - kBlockRows + half * 8);
  }
};

// ---- The loop

// A step's sums of 16 rows of weight and a tile, into their results.
template <int Rows>
STRAKE_INLINE void put(const BlockProduct& product, const SumCursor& cursor, const Tile& tile,
                       const float* sums) {
  const int64_t wanted = std::min<int64_t>(product.outputs, kBlockRows);
  const int64_t to = cursor.step->node * product.node_stride + product.first_output;
  for (int m = 0; m < Rows; ++m)
    for (int64_t i = 0; i < wanted; ++i)
      tile.out[m][to + i] = sums[m * kBlockRows + i] * product.layout.tensor_scale;
}

// Goes on after a group whose sum has been added on top of the stack [depth][Rows][16].
template <int Rows>
STRAKE_INLINE void end_group(const BlockProduct& product, const Tile& tile, int64_t group_size,
                             SumCursor& cursor, float* stack) {
  constexpr int kLevel = Rows * kBlockRows;
  cursor.left -= group_size;
  if (cursor.left > 0) [[likely]]
    return;
  float* top = stack + cursor.height * kLevel;
  for (int merge = 0; merge < cursor.step->merges; ++merge) {
    float* const lower = top - kLevel;
    for (int i = 0; i < kLevel; ++i) lower[i] += top[i];
    top = lower;
  }
  cursor.height -= cursor.step->merges;
  if (cursor.step->node < 0)
    ++cursor.height;
  else
    put<Rows>(product, cursor, tile, top);
  cursor.next();
}

template <class Source>
STRAKE_INLINE __m256 times_factor(__m256 number) {
  if constexpr (Source::kFactor == 1.0f) return number;
  return _mm256_mul_ps(number, _mm256_set1_ps(Source::kFactor));
}

// A total and a group's sum.
template <class Source>
STRAKE_INLINE __m256 with_group(__m256 total, __m256 scale, __m256 sum) {
  if constexpr (!Source::kScaled) return _mm256_add_ps(total, sum);
  return _mm256_fmadd_ps(scale, times_factor<Source>(sum), total);
}

// Not inlined, for where several are in one function the compiler keeps sums in memory.
//
// Adds `inputs` inputs from `first` on to a tile's stack, Groups groups in turn: a group's sum is a
// chain of dependent instructions, and several hide their latency.
template <int Rows, int Groups, class Source>
[[gnu::noinline]] void multiply_groups(Source& source, const BlockProduct& product,
                                       const Tile& tile, Part part, SumCursor& cursor,
                                       float* stack) {
  const int64_t group_size = source.group_size;
  const auto* x = reinterpret_cast<const float*>(tile.x) + part.first * Rows;
  const float* sums = Source::kBiased ? tile.sums + part.first / group_size * Rows : nullptr;
  for (int64_t left = part.inputs; left > 0; left -= Groups * group_size) {
    __m256 sum[Groups][Rows][kHalves];
    unrolled<Groups * Rows * kHalves>([&](auto i) STRAKE_INLINE_BODY {
      sum[i / (Rows * kHalves)][i / kHalves % Rows][i % kHalves] = _mm256_setzero_ps();
    });
    if constexpr (Source::kPanel)
      source.template add_group<Rows>(x, sum);
    else
      source.template next<Groups>([&](int g, int64_t input, int half,
                                       __m256 values) STRAKE_INLINE_BODY {
        const float* const at = x + (g * group_size + input) * Rows;
        unrolled<Rows>([&](auto m) STRAKE_INLINE_BODY {
          sum[g][m][half] = _mm256_fmadd_ps(values, _mm256_broadcast_ss(at + m), sum[g][m][half]);
        });
      });
    x += Groups * group_size * Rows;
    // Groups that all belong to the step at hand, and do not end it, meet in registers.
    bool ended = Groups > 1 && cursor.left > Groups * group_size;
    if constexpr (Groups > 1) {
      if (ended) {
        float* const top = stack + cursor.height * Rows * kBlockRows;
        const bool begins = cursor.left == cursor.step->inputs;
        unrolled<kHalves>([&](auto half) STRAKE_INLINE_BODY {
          __m256 total[Rows];
          unrolled<Rows>([&](auto m) STRAKE_INLINE_BODY {
            total[m] =
                begins ? _mm256_setzero_ps() : _mm256_load_ps(top + m * kBlockRows + half * 8);
          });
          unrolled<Groups>([&](auto g) STRAKE_INLINE_BODY {
            __m256 scale{}, bias;
            if constexpr (Source::kScaled) scale = source.template scale<Groups>(g, half);
            if constexpr (Source::kBiased) bias = source.template bias<Groups>(g, half, scale);
            unrolled<Rows>([&](auto m) STRAKE_INLINE_BODY {
              total[m] = with_group<Source>(total[m], scale, sum[g][m][half]);
              if constexpr (Source::kBiased)
                total[m] =
                    _mm256_fmadd_ps(bias, _mm256_broadcast_ss(sums + g * Rows + m), total[m]);
            });
          });
          unrolled<Rows>([&](auto m) STRAKE_INLINE_BODY {
            _mm256_store_ps(top + m * kBlockRows + half * 8, total[m]);
          });
        });
        cursor.left -= Groups * group_size;
      }
    }
    unrolled<Groups>([&](auto g) STRAKE_INLINE_BODY {
      if (ended || g * group_size >= left) return;
      float* const top = stack + cursor.height * Rows * kBlockRows;
      const bool begins = cursor.left == cursor.step->inputs;
      unrolled<kHalves>([&](auto half) STRAKE_INLINE_BODY {
        __m256 scale{}, bias;
        if constexpr (Source::kScaled) scale = source.template scale<Groups>(g, half);
        if constexpr (Source::kBiased) bias = source.template bias<Groups>(g, half, scale);
        unrolled<Rows>([&](auto m) STRAKE_INLINE_BODY {
          float* const at = top + m * kBlockRows + half * 8;
          __m256 total = begins ? _mm256_setzero_ps() : _mm256_load_ps(at);
          total = with_group<Source>(total, scale, sum[g][m][half]);
          if constexpr (Source::kBiased)
            total = _mm256_fmadd_ps(bias, _mm256_broadcast_ss(sums + g * Rows + m), total);
          _mm256_store_ps(at, total);
        });
      });
      end_group<Rows>(product, tile, group_size, cursor, stack);
      ended = cursor.step == cursor.end;
    });
    if constexpr (Source::kBiased) sums += Groups * Rows;
  }
}

template <int Rows, class Source>
void multiply_directly(Source source, const BlockProduct& product) {
  SumCursor cursor(product.schedule);
  multiply_groups<Rows, std::max(1, Source::kInTurn / Rows)>(
      source, product, product.tiles[0], {0, product.schedule.inputs}, cursor,
      reinterpret_cast<float*>(product.scratch));
}

// A tile of any number of rows with a panel.
template <class Source>
STRAKE_INLINE void multiply_tile(const Source& source, const BlockProduct& product,
                                 const Tile& tile, Part part, Sums sums) {
  unrolled<kTileRows>([&](auto index) STRAKE_INLINE_BODY {
    if (tile.rows != index + 1) return;
    Source groups = source;
    multiply_groups<index + 1, 1>(groups, product, tile, part, sums.cursor, sums.stack);
  });
}

// The source's next inputs, as many as a panel's part has.
template <class Source>
void unpack(Source& source, int64_t inputs, Panel& panel) {
  float* values = panel.values;
  float* scales = panel.scales;
  float* biases = panel.biases;
  for (; inputs > 0; inputs -= source.group_size) {
    source.template next<1>([&](int, int64_t input, int half, __m256 numbers) STRAKE_INLINE_BODY {
      _mm256_store_ps(values + input * kBlockRows + half * 8, times_factor<Source>(numbers));
    });
    values += source.group_size * kBlockRows;
    if constexpr (Source::kScaled) {
      unrolled<kHalves>([&](auto half) STRAKE_INLINE_BODY {
        const __m256 scale = source.template scale<1>(0, half);
        _mm256_store_ps(scales + half * 8, scale);
        if constexpr (Source::kBiased)
          _mm256_store_ps(biases + half * 8, source.template bias<1>(0, half, scale));
      });
      scales += kBlockRows;
      biases += kBlockRows;
    }
  }
}

template <class Source>
void multiply_tiles(Source& source, const BlockProduct& product) {
  auto& panel = *reinterpret_cast<Panel*>(product.scratch);
  auto* const stacks = reinterpret_cast<float*>(&panel + 1);
  SumCursor cursor(product.schedule);
  for (int64_t first = 0; first < product.schedule.inputs; first += kChunk) {
    const Part part{first, std::min(kChunk, product.schedule.inputs - first)};
    unpack(source, part.inputs, panel);
    const SumCursor begin = cursor;
    float* stack = stacks;
    for (const Tile& tile : product.tiles) {
      cursor = begin;
      multiply_tile(PanelSource<Source::kScaled, Source::kBiased>(panel, source.group_size),
                    product, tile, part, {cursor, stack});
      stack += tile.rows * product.schedule.depth * kBlockRows;
    }
  }
}

template <class Source>
void multiply_source(Source source, const BlockProduct& product) {
  const int rows = product.tiles.size() == 1 ? product.tiles[0].rows : kTileRows;
  if (rows == 1)
    multiply_directly<1>(source, product);
  else if (rows == 2)
    multiply_directly<2>(source, product);
  else
    multiply_tiles(source, product);
}
