// Products by tiles: a template over who holds the tile registers, the processor or, in tests,
// plain C++. Included after bf16/products.inl, with its choice of instructions.
//
// A tile product adds the products of 32 inputs of up to 16 rows of activations with 16 rows of
// weight, whose pairs of inputs lie in it as they lie in a block. A chunk of inputs is unpacked
// into a panel, as pairs; a group's sum is one tile from zero, which float32 arithmetic then scales
// and adds. A single row would wait for tiles more than it uses them: one_row.inl has the same sums
// for it without.

// A chunk of a block: pairs [inputs / 2], scales and biases [groups][16].
struct Panel {
  alignas(kRegister) std::byte pairs[kChunk / 2 * kRegister];
  float scales[kChunkGroups * kBlockRows];
  float biases[kChunkGroups * kBlockRows];
};

// Groups whose sums are on their way: a tile product and its store take some 100 cycles.
constexpr int64_t kLag = 3;

struct Work {
  Panel panels[2][kWide];  // of the chunk at hand and of the next
  alignas(kRegister) float sums[kLag + 1][kTileRows * kBlockRows];
};

// Floats of a tile's stack of sums for a block, [depth][rows][16].
constexpr int64_t kLevel = kTileRows * kBlockRows;

// Tile registers: sums, activations, weights; two of each, so that one waits for no other.
constexpr int kSums = 0, kLeft = 2, kRight = 4;

// ---- Sources of the next group of a block.

template <class Code, class Scales>
struct Codes : bf16::CodeStream<Code, Scales, 1> {
  Codes(const BlockProduct& product, const std::byte* block)
      : bf16::CodeStream<Code, Scales, 1>(product.layout, block) {}
};

struct Pairs {
  static constexpr bool kScaled = false;
  static constexpr bool kBiased = false;
  const std::byte* at;
  int64_t group_size;

  Pairs(const BlockProduct& product, const std::byte* block)
      : at(block), group_size(product.schedule.unit) {}

  template <class Use>
  STRAKE_INLINE void next(Use&& use) {
    for (int64_t pair = 0; pair < group_size / 2; ++pair, at += kRegister) {
      const __m512i w[1] = {bf16::load_and_prefetch<8192>(at)};
      use(pair, w);
    }
  }
};

template <class Source>
void unpack(Source& source, int64_t inputs, Panel& panel) {
  std::byte* pairs = panel.pairs;
  float* scales = panel.scales;
  float* biases = panel.biases;
  for (; inputs > 0; inputs -= source.group_size) {
    source.next([&](int64_t pair, const __m512i(&w)[1])
                    STRAKE_INLINE_BODY { _mm512_store_si512(pairs + pair * kRegister, w[0]); });
    pairs += source.group_size / 2 * kRegister;
    if constexpr (Source::kScaled) {
      const __m512 scale = source.scale(0);
      _mm512_store_ps(scales, scale);
      scales += kBlockRows;
      if constexpr (Source::kBiased) {
        _mm512_store_ps(biases, source.bias(0, scale));
        biases += kBlockRows;
      }
    }
  }
}

// ---- A chunk of a block with a tile of activations.

struct Chunk {
  const Panel& panel;
  int block;  // of the product's
  int64_t first;
  int64_t inputs;
  int64_t group_size;
  Work& work;
};

// The sum of the chunk's group `index` -> work.sums, in tile registers of number Set.
template <class Tiles, int Set>
STRAKE_INLINE void sum_group(const Chunk& chunk, const Tile& tile, int64_t index) {
  const int64_t step = std::min<int64_t>(chunk.group_size, kTileInputs);
  const auto multiply = [&](auto set, int64_t offset) STRAKE_INLINE_BODY {
    const int64_t input = index * chunk.group_size + offset;
    const int64_t of_x = chunk.first + input;
    Tiles::template load<kLeft + set>(
        tile.x + of_x / kTileInputs * tile.rows * kRegister + of_x % kTileInputs * 2, kRegister);
    Tiles::template load<kRight + set>(chunk.panel.pairs + input / 2 * kRegister, kRegister);
    Tiles::template multiply<kSums + Set, kLeft + set, kRight + set>();
  };
  Tiles::template zero<kSums + Set>();
  for (int64_t offset = 0; offset < chunk.group_size; offset += 2 * step) {
    multiply(std::integral_constant<int, Set>(), offset);
    if (offset + step < chunk.group_size)
      multiply(std::integral_constant<int, 1 - Set>(), offset + step);
  }
  Tiles::template store<kSums + Set>(chunk.work.sums[index % (kLag + 1)], kRegister);
}

// Adds the chunk to a tile's stack. Rows is the tile's number of rows or more: sums of those beyond
// are of whatever lies there, and dropped.
template <class Tiles, bf16::PairsKind Kind, int Rows>
void add_chunk(const BlockProduct& product, const Tile tile, const Chunk chunk, SumCursor& cursor,
               float* stack) {
  const auto each_row = [](auto body) STRAKE_INLINE_BODY { bf16::unrolled<Rows>(body); };
  const auto slot = [&](int m) STRAKE_INLINE_BODY {
    return stack + cursor.height * kLevel + m * kBlockRows;
  };
  __m512 total[Rows];  // of the step at hand
  each_row([&](auto m) STRAKE_INLINE_BODY {
    total[m] = chunk.first == 0 ? _mm512_setzero_ps() : _mm512_load_ps(slot(m));
  });
  const auto finish_step = [&]() STRAKE_INLINE_BODY {
    for (int merge = 0; merge < cursor.step->merges; ++merge) {
      --cursor.height;
      each_row([&](auto m) STRAKE_INLINE_BODY {
        total[m] = _mm512_add_ps(_mm512_load_ps(slot(m)), total[m]);
      });
    }
    each_row([&](auto m) STRAKE_INLINE_BODY {
      if (cursor.step->node < 0)
        _mm512_store_ps(slot(m), total[m]);
      else if (m < tile.rows)
        bf16::put(product, chunk.block, cursor, tile.out[m], total[m]);
      total[m] = _mm512_setzero_ps();
    });
    if (cursor.step->node < 0) ++cursor.height;
    cursor.next();
  };
  const auto add_group = [&](int64_t index) STRAKE_INLINE_BODY {
    const float* const sums = chunk.work.sums[index % (kLag + 1)];
    const auto sum = [&](int m)
                         STRAKE_INLINE_BODY { return _mm512_load_ps(sums + m * kBlockRows); };
    if constexpr (Kind == bf16::PairsKind::kPlain) {
      each_row([&](auto m) STRAKE_INLINE_BODY { total[m] = _mm512_add_ps(total[m], sum(m)); });
    } else {
      const __m512 scale = _mm512_load_ps(chunk.panel.scales + index * kBlockRows);
      each_row([&](auto m)
                   STRAKE_INLINE_BODY { total[m] = _mm512_fmadd_ps(scale, sum(m), total[m]); });
    }
    if constexpr (Kind == bf16::PairsKind::kBiased) {
      const __m512 bias = _mm512_load_ps(chunk.panel.biases + index * kBlockRows);
      const float* const of_x = tile.sums + (chunk.first / chunk.group_size + index) * tile.rows;
      each_row([&](auto m) STRAKE_INLINE_BODY {
        total[m] = _mm512_fmadd_ps(bias, _mm512_set1_ps(of_x[m]), total[m]);
      });
    }
    cursor.left -= chunk.group_size;
    if (cursor.left == 0) finish_step();
  };
  const int64_t groups = chunk.inputs / chunk.group_size;
  for (int64_t index = 0; index < groups + kLag; ++index) {
    if (index < groups && index % 2 == 0) sum_group<Tiles, 0>(chunk, tile, index);
    if (index < groups && index % 2 == 1) sum_group<Tiles, 1>(chunk, tile, index);
    if (index >= kLag) add_group(index - kLag);
  }
  each_row([&](auto m) STRAKE_INLINE_BODY { _mm512_store_ps(slot(m), total[m]); });
}

// ---- Products.

template <class Tiles, class Source>
void multiply_source(const BlockProduct& product) {
  using Add = void (*)(const BlockProduct&, Tile, Chunk, SumCursor&, float*);
  constexpr auto kKind = Source::kBiased   ? bf16::PairsKind::kBiased
                         : Source::kScaled ? bf16::PairsKind::kScaled
                                           : bf16::PairsKind::kPlain;
  static constexpr Add kByRows[] = {add_chunk<Tiles, kKind, 1>, add_chunk<Tiles, kKind, 2>,
                                    add_chunk<Tiles, kKind, 4>, add_chunk<Tiles, kKind, 8>,
                                    add_chunk<Tiles, kKind, 16>};
  auto& work = *reinterpret_cast<Work*>(product.scratch);
  auto* const stacks = reinterpret_cast<float*>(&work + 1);
  const int64_t pitch = product.schedule.depth * kLevel;
  const int64_t all = product.schedule.inputs;
  // Where there are fewer blocks, the last one stands in for those, and is not read again.
  auto sources = [&]<int... I>(std::integer_sequence<int, I...>) {
    return std::array{
        Source(product, product.block + std::min(I, product.blocks - 1) * product.stride)...};
  }
  (std::make_integer_sequence<int, kWide>());
  // Loads into tiles wait for stores to reach the cache: a chunk is unpacked before the one ahead
  // of it is multiplied.
  const auto unpack_chunk = [&](int64_t first) {
    for (int i = 0; i < product.blocks; ++i)
      unpack(sources[static_cast<size_t>(i)], std::min(kChunk, all - first),
             work.panels[first / kChunk % 2][i]);
  };
  SumCursor cursor(product.schedule);
  unpack_chunk(0);
  for (int64_t first = 0; first < all; first += kChunk) {
    if (first + kChunk < all) unpack_chunk(first + kChunk);
    const SumCursor begin = cursor;
    float* stack = stacks;
    for (const Tile& tile : product.tiles)
      for (int i = 0; i < product.blocks; ++i, stack += pitch) {
        cursor = begin;
        const Chunk chunk{work.panels[first / kChunk % 2][i],
                          i,
                          first,
                          std::min(kChunk, all - first),
                          sources[0].group_size,
                          work};
        kByRows[std::bit_width(static_cast<unsigned>(tile.rows - 1))](product, tile, chunk, cursor,
                                                                      stack);
      }
  }
}

// Both have the same bits.
template <class Tiles, class Code, class Scales>
void multiply_codes(const BlockProduct& product) {
  const bool one = product.tiles.size() == 1 && product.tiles[0].rows == 1;
  if (one && multiply_row<Code, Scales>(product)) return;
  multiply_source<Tiles, Codes<Code, Scales>>(product);
}

template <class Tiles>
void multiply(const BlockProduct& product) {
  switch (product.layout.coding) {
    case Coding::kU2:
      return multiply_codes<Tiles, bf16::Integers<2>, bf16::AffineScales>(product);
    case Coding::kU3:
      return multiply_codes<Tiles, bf16::Integers<3>, bf16::AffineScales>(product);
    case Coding::kU4:
      return multiply_codes<Tiles, bf16::Integers<4>, bf16::AffineScales>(product);
    case Coding::kU5:
      return multiply_codes<Tiles, bf16::Integers<5>, bf16::AffineScales>(product);
    case Coding::kU6:
      return multiply_codes<Tiles, bf16::Integers<6>, bf16::AffineScales>(product);
    case Coding::kU8:
      return multiply_codes<Tiles, bf16::ByteTable<bf16::OddIntegers>, bf16::AffineScales>(product);
    case Coding::kE4M3:
      return multiply_codes<Tiles, bf16::ByteTable<bf16::Floats8>, bf16::PowerScales>(product);
    case Coding::kE2M1:
      if (product.layout.scaling == Scaling::kE4M3)
        return multiply_codes<Tiles, bf16::FourBitTable<16>, bf16::FloatScales8>(product);
      return multiply_codes<Tiles, bf16::FourBitTable<32>, bf16::PowerScales>(product);
    case Coding::kHalf:
    case Coding::kFloat:  // product_kernels() sends no such weight here
      return multiply_source<Tiles, Pairs>(product);
  }
}

// Rows are rounded up to those of add_chunk.
template <class Tiles>
void configure(const BlockLayout& layout, int64_t rows) {
  const auto tile_rows =
      static_cast<int>(std::bit_ceil(static_cast<uint64_t>(std::min<int64_t>(rows, kTileRows))));
  const int inputs = layout.group_size == 16 ? 16 : kTileInputs;
  TileConfig config;
  for (int set = 0; set < 2; ++set) {
    config.set(kSums + set, tile_rows, kRegister);
    config.set(kLeft + set, tile_rows, inputs * 2);
    config.set(kRight + set, inputs / 2, kRegister);
  }
  Tiles::configure(config);
}

// Tiles of few rows take blocks as they come; one row is widened once for several.
int blocks_at_once(int64_t rows) { return rows > 1 && rows <= kTileRows ? 1 : kWide; }

size_t scratch_bytes(const BlockLayout&, const SumSchedule& schedule, int64_t rows) {
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  const auto for_tiles =
      sizeof(Work) + static_cast<size_t>(tiles * kWide * schedule.depth * kLevel) * sizeof(float);
  return std::max(for_tiles, row_scratch_bytes(schedule));
}

template <class Tiles>
const ProductKernels& kernels() {
  const ProductKernels& pairs = avx512_bf16_kernels();
  static const ProductKernels kKernels{.activations = DType::kBF16,
                                       .run = kTileInputs,
                                       .most_rows = kTileRows,
                                       .most_tiles = kPanelTiles,
                                       .blocks_at_once = blocks_at_once,
                                       .scratch_bytes = scratch_bytes,
                                       .multiply = multiply<Tiles>,
                                       .begin = configure<Tiles>,
                                       .end = Tiles::release,
                                       .wants_sums = pairs.wants_sums,
                                       .sum_group = pairs.sum_group,
                                       .input_factors = pairs.input_factors};
  return kKernels;
}
