// Products with many activation rows: codes are unpacked once, a chunk of inputs at a time, and all
// tiles multiply them from the first cache. Included by products.inl.

// Unpacks the next `inputs` inputs of a block, which is the panel's first or second.
template <class Stream>
void unpack(Stream& stream, int64_t inputs, int second, Panel& panel) {
  std::byte* pairs = panel.pairs + second * kRegister;
  float* scales = panel.scales + second * kBlockRows;
  float* biases = panel.biases + second * kBlockRows;
  for (; inputs > 0; inputs -= stream.group_size) {
    stream.next([&](int64_t pair, const __m512i(&w)[1]) STRAKE_INLINE_BODY {
      _mm512_store_si512(pairs + pair * kWide * kRegister, w[0]);
    });
    pairs += stream.group_size / 2 * kWide * kRegister;
    const __m512 scale = stream.scale(0);
    _mm512_store_ps(scales, scale);
    scales += kWide * kBlockRows;
    if constexpr (Stream::kBiased) {
      _mm512_store_ps(biases, stream.bias(0, scale));
      biases += kWide * kBlockRows;
    }
  }
}

// Adds a chunk of two blocks to the stacks of all tiles.
template <PairsKind Kind>
void multiply_tiles(const PairBlocks<Kind>& source, const BlockProduct& product, int64_t first,
                    int64_t inputs, SumCursor& cursor, float* stacks) {
  using Multiply = void (*)(PairBlocks<Kind>, const BlockProduct&, const Tile&, int64_t, int64_t,
                            SumCursor&, float*);
  static constexpr auto kByRows = []<int... I>(std::integer_sequence<int, I...>) {
    return std::array<Multiply, kPanelRows>{multiply_blocks<PairBlocks<Kind>, I + 1>...};
  }
  (std::make_integer_sequence<int, kPanelRows>());
  const SumCursor begin = cursor;
  for (const Tile& tile : product.tiles) {
    cursor = begin;
    kByRows[static_cast<size_t>(tile.rows - 1)](source, product, tile, first, inputs, cursor,
                                                stacks);
    stacks += tile.rows * product.schedule.depth * kWide * kBlockRows;
  }
}

template <class Code, class Scales>
struct CodePanels {
  static void multiply(const BlockProduct& product) {
    using Stream = CodeStream<Code, Scales, 1>;
    constexpr PairsKind kKind = Scales::kBiased ? PairsKind::kBiased : PairsKind::kScaled;
    auto& panel = *reinterpret_cast<Panel*>(product.scratch);
    auto* const stacks = reinterpret_cast<float*>(&panel + 1);
    // Without a second block, what lies in its places is multiplied and dropped.
    Stream streams[kWide] = {
        Stream(product.layout, product.block),
        Stream(product.layout, product.block + (product.blocks - 1) * product.stride)};
    const PairBlocks<kKind> source{panel.pairs,  kWide * kRegister,
                                   kRegister,    product.layout.group_size,
                                   panel.scales, panel.biases};
    SumCursor cursor(product.schedule);
    for (int64_t first = 0; first < product.schedule.inputs; first += kChunk) {
      const int64_t inputs = std::min(kChunk, product.schedule.inputs - first);
      for (int i = 0; i < product.blocks; ++i) unpack(streams[i], inputs, i, panel);
      multiply_tiles(source, product, first, inputs, cursor, stacks);
    }
  }
};

struct PairPanels {
  static void multiply(const BlockProduct& product) {
    auto* const stacks = reinterpret_cast<float*>(product.scratch);
    SumCursor cursor(product.schedule);
    for (int64_t first = 0; first < product.schedule.inputs; first += kChunk) {
      const PairBlocks<PairsKind::kPlain> source{product.block + first / 2 * kRegister, kRegister,
                                                 (product.blocks - 1) * product.stride,
                                                 product.schedule.unit};
      multiply_tiles(source, product, first, std::min(kChunk, product.schedule.inputs - first),
                     cursor, stacks);
    }
  }
};
