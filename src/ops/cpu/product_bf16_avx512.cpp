// Products with bfloat16 activations on AVX-512 with its bfloat16 dot product.
//
// A lane of `vdpbf16ps` sums a pair of products in float32, so one instruction takes a pair of
// inputs of 16 rows. Codes become exact bfloat16 values in registers; a group's sum is multiplied
// by its scale in float32. Few activation rows take the codes as they come; for many, a block is
// unpacked once into a panel. Both do the same arithmetic in the same order.
#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

#include "ops/cpu/product.h"
#include "quant/codecs.h"
#include "strake/base/half.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma GCC push_options
// The intrinsics of g++ 12 begin from values that they call undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512bf16,bmi2,fma")

namespace strake::cpu {
namespace {

#define STRAKE_INLINE_BODY __attribute__((always_inline))
#define STRAKE_INLINE STRAKE_INLINE_BODY inline

constexpr int kDirectRows = 8;  // up to here codes are unpacked anew for each tile
constexpr int kPanelRows = 12;  // two registers a row: 24 of 32

STRAKE_INLINE __m512i load(const std::byte* from) { return _mm512_loadu_si512(from); }
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

// ---- Codings: a run of codes of each of Blocks blocks, `stride` bytes apart, as bfloat16 pairs:
// use(block, pair, register). The blocks alternate, since each one's sum is a chain of dependent
// instructions. The value of a code c is (v - kOffset) * kFactor for the v that is handed out.

// Codes of Bits <= 6 bits become a part of the mantissa of a power of two, where one field of each
// word or byte lies already: v = kOffset + c. The smaller that offset, the less is lost when its
// share is subtracted from the sum. Where a field ends with the first byte of its word, a load from
// one byte on saves the shift to the second.
template <int Bits>
struct Integers {
  static constexpr int kRun = 32;
  static constexpr int kRunBytes = Bits * kRegister;
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

  template <int Blocks, class Use>
  STRAKE_INLINE void run(const std::byte* at, int64_t stride, Use&& use) const {
    const __m512i one = _mm512_set1_epi16(static_cast<short>((134 - kPlace) << 7));
    __m512i words[Bits][Blocks];
    unrolled<Bits>([&](auto q) STRAKE_INLINE_BODY {
      unrolled<Blocks>(
          [&](auto b) STRAKE_INLINE_BODY { words[q][b] = load(at + b * stride + q * kRegister); });
      unrolled<F::kPerWord>([&](auto k) STRAKE_INLINE_BODY {
        constexpr int kBit = k * Bits;
        unrolled<Blocks>([&](auto b) STRAKE_INLINE_BODY {
          const __m512i field =
              kByByte && kBit >= 8
                  ? moved<kBit % 8, kPlace>(load(at + b * stride + q * kRegister + 1))
                  : moved<kBit, kPlace>(words[q][b]);
          use(b, q * F::kPerWord + k,
              _mm512_ternarylogic_epi32(field, mask(kPlace, Bits), one, 0xea));  // a & b | c
        });
      });
    });
    unrolled<16 - F::kWhole>([&](auto rest) STRAKE_INLINE_BODY {
      constexpr int kPair = F::kWhole + rest;
      unrolled<Blocks>([&](auto b) STRAKE_INLINE_BODY {
        __m512i value = one;
        unrolled<F::kPieces>([&](auto index) STRAKE_INLINE_BODY {
          constexpr auto kPiece = F::piece(kPair, index);
          constexpr int kTo = kPlace + kPiece.code_shift;
          const __m512i bits = moved<kPiece.word_shift, kTo>(words[kPiece.word][b]);
          value =
              _mm512_ternarylogic_epi32(value, bits, mask(kTo, kPiece.bits), 0xf8);  // a | b & c
        });
        use(b, kPair, value);
      });
    });
  }
};

// Four-bit floating codes: the 16 values fit a register, twice, since the index has five bits of
// which the uppermost belongs to the next code.
template <int Run>
struct FourBitTable {
  static constexpr int kRun = Run;
  static constexpr int kRunBytes = Run / 8 * kRegister;
  static constexpr float kOffset = 0.0f;
  static constexpr float kFactor = 1.0f;
  static constexpr auto kTable = [] {
    std::array<uint16_t, 32> values{};
    for (uint32_t i = 0; i < 32; ++i) values[i] = to_bf16(E2M1::decode(i % 16)).bits;
    return values;
  }();
  __m512i table;

  FourBitTable() : table(_mm512_loadu_si512(kTable.data())) {}

  template <int Blocks, class Use>
  STRAKE_INLINE void run(const std::byte* at, int64_t stride, Use&& use) const {
    unrolled<Run / 8>([&](auto q) STRAKE_INLINE_BODY {
      __m512i words[2][Blocks];
      unrolled<Blocks>([&](auto b) STRAKE_INLINE_BODY {
        words[0][b] = load(at + b * stride + q * kRegister);
        words[1][b] = load(at + b * stride + q * kRegister + 1);  // the words' second bytes
      });
      unrolled<4>([&](auto k) STRAKE_INLINE_BODY {
        unrolled<Blocks>([&](auto b) STRAKE_INLINE_BODY {
          const __m512i word = words[k / 2][b];
          const __m512i index = k % 2 == 0 ? word : _mm512_srli_epi16(word, 4);
          use(b, q * 4 + k, _mm512_permutexvar_epi16(index, table));
        });
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

  template <int Blocks, class Use>
  STRAKE_INLINE void run(const std::byte* at, int64_t stride, Use&& use) const {
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
    unrolled<8>([&](auto q) STRAKE_INLINE_BODY {
      __m512i lower[Blocks], upper[Blocks];
      unrolled<Blocks>([&](auto b) STRAKE_INLINE_BODY {
        const __m512i codes = load(at + b * stride + q * kRegister);
        lower[b] = _mm512_permutex2var_epi8(low[0], codes, low[1]);
        upper[b] = _mm512_ternarylogic_epi32(_mm512_permutex2var_epi8(high[0], codes, high[1]),
                                             codes, sign, 0xf8);  // a | b & c
        use(b, 2 * q, _mm512_unpacklo_epi8(lower[b], upper[b]));
      });
      unrolled<Blocks>([&](auto b) STRAKE_INLINE_BODY {
        use(b, 2 * q + 1, _mm512_unpackhi_epi8(lower[b], upper[b]));
      });
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

// ---- Sources of groups: where the pairs of the next group of each block and its scales come from.

// The codes of blocks.
template <class Code, class Scales, int Blocks>
struct Codes {
  static constexpr int kBlocks = Blocks;
  static constexpr bool kScaled = true;
  static constexpr bool kBiased = Scales::kBiased;
  Code coding;
  Scales scales;
  const std::byte* at;
  int64_t stride;
  int64_t line_bytes;
  int64_t group_size;
  int64_t group = 0;
  const std::byte* line = nullptr;
  int64_t in_line = 0;

  explicit Codes(const BlockProduct& product)
      : scales(product.layout),
        at(product.block),
        stride(product.stride),
        line_bytes(product.layout.line_bytes),
        group_size(product.layout.group_size) {}

  template <class Use>
  STRAKE_INLINE void next(Use&& use) {
    constexpr int64_t kMask = (1 << Scales::kGroupsLog2) - 1;
    in_line = group & kMask;
    if (in_line == 0) {
      line = at;
      at += line_bytes;
    }
    // Only affine groups are more than one run.
    const int64_t inputs = kBiased ? group_size : Code::kRun;
    for (int64_t first = 0; first < inputs / 2; first += Code::kRun / 2) {
      coding.template run<Blocks>(at, stride, [&](auto b, int pair, __m512i w) STRAKE_INLINE_BODY {
        use(b, first + pair, w);
      });
      at += Code::kRunBytes;
    }
    ++group;
  }
  STRAKE_INLINE __m512 scale(int block) const {
    return scales.template scale<Code>(line + block * stride, in_line);
  }
  STRAKE_INLINE __m512 bias(int block, __m512 scale) const {
    return scales.template bias<Code>(line + block * stride, scale);
  }
};

enum class PanelKind { kPlain, kScaled, kBiased };

// Pairs as they are: dense weights' blocks, or what unpack_panel made of codes.
template <PanelKind Kind, int Blocks>
struct Panel {
  static constexpr int kBlocks = Blocks;
  static constexpr bool kScaled = Kind != PanelKind::kPlain;
  static constexpr bool kBiased = Kind == PanelKind::kBiased;
  const std::byte* pairs;
  int64_t stride;
  int64_t group_size;
  const float* scales = nullptr;  // [groups][16]
  const float* biases = nullptr;

  template <class Use>
  STRAKE_INLINE void next(Use&& use) {
#pragma GCC unroll 4
    for (int64_t pair = 0; pair < group_size / 2; ++pair) {
      unrolled<Blocks>([&](auto b) STRAKE_INLINE_BODY {
        const std::byte* const at = pairs + b * stride + pair * kRegister;
        use(b, pair, load(at));
      });
    }
    pairs += group_size / 2 * kRegister;
    if constexpr (kScaled) scales += kBlockRows;
    if constexpr (kBiased) biases += kBlockRows;
  }
  STRAKE_INLINE __m512 scale(int) const { return _mm512_loadu_ps(scales - kBlockRows); }
  STRAKE_INLINE __m512 bias(int, __m512) const { return _mm512_loadu_ps(biases - kBlockRows); }
};

// ---- The loop over groups, for all of them.

// A tile's way through the steps: its stack [depth][rows][16] and how far it is.
struct Progress {
  float* stack;
  int height = 0;
  int64_t input = 0;
  int64_t group = 0;
};

using Steps = std::span<const SumSchedule::Step>;

// A sum is of one row and one block; index m * Blocks + b.
template <class Source, int Rows>
void add_groups(Source source, const BlockProduct& product, const Tile& tile, Steps steps,
                Progress& progress) {
  constexpr int kBlocks = Source::kBlocks;
  constexpr int kSums = Rows * kBlocks;
  const int64_t group_size = source.group_size;
  const auto* x = reinterpret_cast<const uint32_t*>(tile.x) + progress.input / 2 * Rows;
  const float* sums = tile.sums + progress.group * Rows;
  const auto slot = [&](int height, int sum) STRAKE_INLINE_BODY {
    return progress.stack + (height * kSums + sum) * kBlockRows;
  };
  const auto each = [](auto body) STRAKE_INLINE_BODY { unrolled<kSums>(body); };
  for (const SumSchedule::Step& step : steps) {
    __m512 total[kSums];
    if (step.start == SumSchedule::Start::kPush) {
      each([&](auto i) STRAKE_INLINE_BODY { total[i] = _mm512_setzero_ps(); });
      ++progress.height;
    } else {
      each([&](auto i)
               STRAKE_INLINE_BODY { total[i] = _mm512_load_ps(slot(progress.height - 1, i)); });
    }
    for (int64_t left = step.inputs; left > 0; left -= group_size) {
      __m512 sum[kSums];
      each([&](auto i) STRAKE_INLINE_BODY { sum[i] = _mm512_setzero_ps(); });
      source.next([&](auto b, int64_t pair, __m512i w) STRAKE_INLINE_BODY {
        const uint32_t* const at = x + pair * Rows;
        unrolled<Rows>([&](auto m) STRAKE_INLINE_BODY {
          constexpr int i = m * kBlocks + b;
          sum[i] = dot(sum[i], w, at[m]);
          pin(sum[i]);
        });
      });
      x += group_size / 2 * Rows;
      if constexpr (Source::kScaled) {
        unrolled<kBlocks>([&](auto b) STRAKE_INLINE_BODY {
          const __m512 scale = source.scale(b);
          unrolled<Rows>([&](auto m) STRAKE_INLINE_BODY {
            constexpr int i = m * kBlocks + b;
            total[i] = _mm512_fmadd_ps(scale, sum[i], total[i]);
          });
          if constexpr (Source::kBiased) {
            const __m512 bias = source.bias(b, scale);
            unrolled<Rows>([&](auto m) STRAKE_INLINE_BODY {
              constexpr int i = m * kBlocks + b;
              total[i] = _mm512_fmadd_ps(bias, _mm512_set1_ps(sums[m]), total[i]);
            });
          }
        });
        if constexpr (Source::kBiased) sums += Rows;
      } else {
        each([&](auto i) STRAKE_INLINE_BODY { total[i] = _mm512_add_ps(total[i], sum[i]); });
      }
    }
    progress.input += step.inputs;
    progress.group += step.inputs / group_size;
    for (int merge = 0; merge < step.merges; ++merge) {
      --progress.height;
      each([&](auto i) STRAKE_INLINE_BODY {
        total[i] = _mm512_add_ps(_mm512_load_ps(slot(progress.height - 1, i)), total[i]);
      });
    }
    if (step.node < 0) {
      each([&](auto i)
               STRAKE_INLINE_BODY { _mm512_store_ps(slot(progress.height - 1, i), total[i]); });
      continue;
    }
    --progress.height;
    const __m512 tensor_scale = _mm512_set1_ps(product.layout.tensor_scale);
    unrolled<kBlocks>([&](auto b) STRAKE_INLINE_BODY {
      const int64_t wanted = std::min<int64_t>(kBlockRows, product.outputs - b * kBlockRows);
      const auto lanes = static_cast<__mmask16>((1u << wanted) - 1);
      const int64_t at = step.node * product.node_stride + product.first_output + b * kBlockRows;
      unrolled<Rows>([&](auto m) STRAKE_INLINE_BODY {
        _mm512_mask_storeu_ps(tile.out[m] + at, lanes,
                              _mm512_mul_ps(total[m * kBlocks + b], tensor_scale));
      });
    });
  }
}

template <class Source>
using AddGroups = void (*)(Source, const BlockProduct&, const Tile&, Steps, Progress&);

template <class Source, int Rows>
void add_all(const Source& source, const BlockProduct& product, const Tile& tile) {
  Progress progress{reinterpret_cast<float*>(product.scratch)};
  add_groups<Source, Rows>(source, product, tile, product.schedule.steps, progress);
}

// Blocks that are worked on at once: eight chains of sums hide the latency of a dot product.
constexpr int blocks_at_once(int rows) { return rows <= 2 ? 4 : rows <= 4 ? 2 : 1; }

// `Kernel::run<rows, blocks>` on as many blocks as it takes, or on one after the other.
template <class Kernel, int Rows>
void multiply_blocks(const BlockProduct& product, const Tile& tile) {
  constexpr int kBlocks = blocks_at_once(Rows);
  if (product.blocks == kBlocks) return Kernel::template run<Rows, kBlocks>(product, tile);
  for (int i = 0; i < product.blocks; ++i) {
    BlockProduct one = product;
    one.block += i * product.stride;
    one.blocks = 1;
    one.first_output += i * kBlockRows;
    one.outputs -= i * kBlockRows;
    Kernel::template run<Rows, 1>(one, tile);
  }
}

template <class Kernel, int Most>
void multiply_tile(const BlockProduct& product, const Tile& tile) {
  using MultiplyBlocks = void (*)(const BlockProduct&, const Tile&);
  static constexpr auto kByRows = []<int... I>(std::integer_sequence<int, I...>) {
    return std::array<MultiplyBlocks, Most>{multiply_blocks<Kernel, I + 1>...};
  }
  (std::make_integer_sequence<int, Most>());
  kByRows[static_cast<size_t>(tile.rows - 1)](product, tile);
}

template <class Code, class Scales>
struct CodesKernel {
  template <int Rows, int Blocks>
  static void run(const BlockProduct& product, const Tile& tile) {
    using Source = Codes<Code, Scales, Blocks>;
    add_all<Source, Rows>(Source(product), product, tile);
  }
};

struct DenseKernel {
  template <int Rows, int Blocks>
  static void run(const BlockProduct& product, const Tile& tile) {
    using Source = Panel<PanelKind::kPlain, Blocks>;
    add_all<Source, Rows>(Source{product.block, product.stride, product.schedule.unit}, product,
                          tile);
  }
};

// ---- Panels

constexpr int64_t kPanelBytes = SumSchedule::kChunk / 2 * kRegister;
constexpr int64_t kPanelGroups = SumSchedule::kChunk / 16;
constexpr int64_t kPanelScaleBytes = kPanelGroups * kBlockRows * 4;

// Unpacks the next `groups` groups.
template <class Code, class Scales>
void unpack_panel(Codes<Code, Scales, 1>& codes, int64_t groups, std::byte* pairs, float* scales,
                  float* biases) {
  for (int64_t group = 0; group < groups; ++group) {
    codes.next([&](auto, int64_t pair, __m512i w)
                   STRAKE_INLINE_BODY { _mm512_store_si512(pairs + pair * kRegister, w); });
    pairs += codes.group_size / 2 * kRegister;
    const __m512 scale = codes.scale(0);
    _mm512_store_ps(scales + group * kBlockRows, scale);
    if constexpr (Scales::kBiased)
      _mm512_store_ps(biases + group * kBlockRows, codes.bias(0, scale));
  }
}

// The next steps that make a chunk.
Steps next_chunk(Steps steps) {
  int64_t inputs = 0;
  size_t count = 0;
  while (count < steps.size() && inputs < SumSchedule::kChunk) inputs += steps[count++].inputs;
  return steps.first(count);
}

template <class Code, class Scales>
void multiply_panels(const BlockProduct& product) {
  using Source = Panel<Scales::kBiased ? PanelKind::kBiased : PanelKind::kScaled, 1>;
  using AddGroups = void (*)(Source, const BlockProduct&, const Tile&, Steps, Progress&);
  static constexpr auto kByRows = []<int... I>(std::integer_sequence<int, I...>) {
    return std::array<AddGroups, kPanelRows>{add_groups<Source, I + 1>...};
  }
  (std::make_integer_sequence<int, kPanelRows>());
  Codes<Code, Scales, 1> codes(product);
  std::byte* const pairs = product.scratch;
  auto* const scales = reinterpret_cast<float*>(pairs + kPanelBytes);
  auto* const biases = reinterpret_cast<float*>(pairs + kPanelBytes + kPanelScaleBytes);
  auto* const stacks =
      reinterpret_cast<float*>(pairs + kPanelBytes + 2 * kPanelScaleBytes);  // [rows][depth][16]
  Progress reached{nullptr};
  for (Steps rest = product.schedule.steps; !rest.empty();) {
    const Steps steps = next_chunk(rest);
    rest = rest.subspan(steps.size());
    int64_t inputs = 0;
    for (const auto& step : steps) inputs += step.inputs;
    unpack_panel(codes, inputs / codes.group_size, pairs, scales, biases);
    Progress progress = reached;
    int64_t row = 0;
    for (const Tile& tile : product.tiles) {
      progress = reached;
      progress.stack = stacks + row * product.schedule.depth * kBlockRows;
      kByRows[static_cast<size_t>(tile.rows - 1)](
          Source{pairs, 0, codes.group_size, scales, biases}, product, tile, steps, progress);
      row += tile.rows;
    }
    reached = progress;
  }
}

template <class Code, class Scales>
void multiply(const BlockProduct& product) {
  if (product.tiles.size() == 1 && product.tiles[0].rows <= kDirectRows)
    multiply_tile<CodesKernel<Code, Scales>, kDirectRows>(product, product.tiles[0]);
  else
    multiply_panels<Code, Scales>(product);
}

void multiply_dense(const BlockProduct& product) {
  for (const Tile& tile : product.tiles) multiply_tile<DenseKernel, kPanelRows>(product, tile);
}

size_t scratch_bytes(const BlockLayout&, const SumSchedule& schedule, int64_t rows) {
  return static_cast<size_t>(kPanelBytes + 2 * kPanelScaleBytes +
                             schedule.depth * std::max<int64_t>(rows, kDirectRows) * kBlockRows *
                                 4);
}

using Multiply = void (*)(const BlockProduct&);

Multiply find_multiply(const BlockLayout& layout) {
  switch (layout.coding) {
    case Coding::kU2:
      return multiply<Integers<2>, AffineScales>;
    case Coding::kU3:
      return multiply<Integers<3>, AffineScales>;
    case Coding::kU4:
      return multiply<Integers<4>, AffineScales>;
    case Coding::kU5:
      return multiply<Integers<5>, AffineScales>;
    case Coding::kU6:
      return multiply<Integers<6>, AffineScales>;
    case Coding::kU8:
      return multiply<ByteTable<OddIntegers>, AffineScales>;
    case Coding::kE2M1:
      if (layout.scaling == Scaling::kE4M3) return multiply<FourBitTable<16>, FloatScales8>;
      return multiply<FourBitTable<32>, PowerScales>;
    case Coding::kE4M3:
      return multiply<ByteTable<Floats8>, PowerScales>;
    case Coding::kHalf:
      return multiply_dense;
    case Coding::kFloat:
      return nullptr;
  }
  return nullptr;
}

void multiply_any(const BlockProduct& product) { find_multiply(product.layout)(product); }

}  // namespace

const ProductKernels& avx512_bf16_kernels() {
  static constexpr ProductKernels kKernels{DType::kBF16,   kDirectRows,   kPanelRows,
                                           blocks_at_once, scratch_bytes, multiply_any};
  return kKernels;
}

}  // namespace strake::cpu

#pragma GCC pop_options
#endif
