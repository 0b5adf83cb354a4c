// Products with float32 activations, for one instruction path: included by product_<path>.cpp
// inside an unnamed namespace, after the headers that it needs and the choice of instructions.
//
// A group of 16 rows is unpacked to float32, exactly as decode_value() does it, and multiplied with
// every tile; each result is one chain of multiplications and additions along a step's inputs.

#define STRAKE_INLINE __attribute__((always_inline)) inline

using Bits16 = uint32_t __attribute__((vector_size(64)));
using Ints16 = int32_t __attribute__((vector_size(64)));
using Halves8 = uint16_t __attribute__((vector_size(16)));

constexpr int kTileRows = 6;
constexpr int kMostTiles = 64;        // their activations stay in a cache from block to block
constexpr int64_t kMostInputs = 128;  // unpacked at once

template <class Vector>
STRAKE_INLINE void load(const void* from, Vector& to) {
  __builtin_memcpy(&to, from, sizeof to);
}
STRAKE_INLINE void store(const Lanes& lanes, float* to) {
  __builtin_memcpy(to, &lanes, sizeof lanes);
}

// sum += a * b, one rounding where the path has a fused instruction.
STRAKE_INLINE void multiply_add(const Lanes& a, float b, Lanes& sum) {
#if defined(__AVX512F__)
  sum = (Lanes)_mm512_fmadd_ps((__m512)a, _mm512_set1_ps(b), (__m512)sum);
#elif defined(__FMA__)
  union Halves {
    Lanes all;
    __m256 half[2];
  };
  Halves x{a}, y{sum};
  for (int i = 0; i < 2; ++i) y.half[i] = _mm256_fmadd_ps(x.half[i], _mm256_set1_ps(b), y.half[i]);
  sum = y.all;
#else
  sum += a * b;
#endif
}

STRAKE_INLINE void to_lanes(const Bits16& integers, Lanes& values) {
  values = __builtin_convertvector((Ints16)integers, Lanes);
}

// ---- Codes of a group as elements: element(codes, lanes) of 16 rows.

template <int Bits>
struct IntegerElement {
  static STRAKE_INLINE void decode(const Bits16& codes, Lanes& values) { to_lanes(codes, values); }
};

// Exponent and mantissa as an integer multiple of the smallest number, then scaled: no subnormal
// number is ever multiplied, which some processors do slowly.
template <int ExponentBits, int MantissaBits, int Bias>
struct FloatElement {
  static STRAKE_INLINE void decode(const Bits16& codes, Lanes& values) {
    const Bits16 exponent = (codes >> MantissaBits) & ((1u << ExponentBits) - 1);
    const Bits16 mantissa = codes & ((1u << MantissaBits) - 1);
    const Bits16 normal = (Bits16)(exponent != 0) & 1u;
    to_lanes((mantissa | (normal << MantissaBits)) << (exponent - normal), values);
    values *= 1.0f / static_cast<float>(1 << (Bias - 1 + MantissaBits));
    const Bits16 sign = (codes >> (ExponentBits + MantissaBits)) << 31;
    values = (Lanes)((Bits16)values | sign);
  }
};
using E2M1Element = FloatElement<2, 1, 1>;
using E4M3Element = FloatElement<4, 3, 7>;

// The registers of a group's codes.
struct Codes {
  const std::byte* at;
  int64_t stride;
};

// Hands out the codes of 16 rows, input by input: use(input, codes).
template <int Bits, class Use>
STRAKE_INLINE void each_code(Codes codes, int64_t inputs, Use&& use) {
  using F = Fields<Bits>;
  constexpr uint32_t kMask = (1u << Bits) - 1;
  constexpr int64_t kRun = Bits == 4 ? 8 : 32;
  constexpr int kWords = Bits == 4 ? 1 : Bits;
  const std::byte* at = codes.at;
  for (int64_t first = 0; first < inputs; first += kRun) {
    Bits16 words[kWords];
    for (Bits16& lanes : words) {
      load(at, lanes);
      at += codes.stride;
    }
    for (int pair = 0; pair < kRun / 2; ++pair)
      for (int odd = 0; odd < 2; ++odd) {
        Bits16 code{};
        if (F::kWhole >= kRun / 2 || pair < F::kWhole) {
          code = (words[pair / F::kPerWord] >> (pair % F::kPerWord * Bits + 16 * odd)) & kMask;
        } else {
          for (int k = 0; k < F::kPieces; ++k) {
            const auto piece = F::piece(pair, k);
            const Bits16 bits =
                (words[piece.word] >> (piece.word_shift + 16 * odd)) & ((1u << piece.bits) - 1);
            code |= bits << piece.code_shift;
          }
        }
        use(first + 2 * pair + odd, code);
      }
  }
}

template <class Use>
STRAKE_INLINE void each_byte_of_quads(Codes codes, int64_t inputs, Use&& use) {
  const std::byte* at = codes.at;
  for (int64_t first = 0; first < inputs; first += 4, at += codes.stride) {
    Bits16 four;
    load(at, four);
    for (int i = 0; i < 4; ++i) use(first + i, (four >> (8 * i)) & 0xffu);
  }
}

template <class Use>
STRAKE_INLINE void each_byte_of_pairs(Codes codes, int64_t inputs, Use&& use) {
  const std::byte* at = codes.at;
  for (int64_t first = 0; first < inputs; first += 4, at += codes.stride) {
    alignas(64) uint32_t pairs[2][kBlockRows];
    for (int lane = 0; lane < 4; ++lane) {
      Halves8 halves;
      load(at + lane * 16, halves);
      const Halves8 zero{};
      const Halves8 low = __builtin_shufflevector(halves, zero, 0, 8, 1, 9, 2, 10, 3, 11);
      const Halves8 high = __builtin_shufflevector(halves, zero, 4, 12, 5, 13, 6, 14, 7, 15);
      __builtin_memcpy(pairs[0] + lane * 4, &low, sizeof low);
      __builtin_memcpy(pairs[1] + lane * 4, &high, sizeof high);
    }
    for (int pair = 0; pair < 2; ++pair) {
      Bits16 both;
      load(pairs[pair], both);
      use(first + 2 * pair, both & 0xffu);
      use(first + 2 * pair + 1, both >> 8);
    }
  }
}

// ---- Scales

STRAKE_INLINE void load_floats(const std::byte* from, Scaling scaling, Lanes& values) {
  for (int row = 0; row < kBlockRows; ++row) {
    if (scaling == Scaling::kF32)
      values[row] = reinterpret_cast<const float*>(from)[row];
    else if (scaling == Scaling::kF16)
      values[row] = to_float(reinterpret_cast<const F16*>(from)[row]);
    else
      values[row] = to_float(reinterpret_cast<const Bf16*>(from)[row]);
  }
}

struct GroupScaling {
  Lanes scale;
  Lanes bias;
};

void load_scaling(const BlockLayout& layout, const std::byte* block, int64_t group,
                  GroupScaling& result) {
  const std::byte* const scales = block + layout.scales_offset(group);
  switch (layout.scaling) {
    case Scaling::kNone:
      return;
    case Scaling::kE8M0:
    case Scaling::kE4M3:
      for (int row = 0; row < kBlockRows; ++row) {
        const auto byte = static_cast<uint8_t>(scales[row]);
        result.scale[row] =
            layout.scaling == Scaling::kE8M0 ? E8M0::decode(byte) : E4M3Scale::decode(byte);
      }
      result.scale *= layout.tensor_scale;
      return;
    case Scaling::kBF16:
    case Scaling::kF16:
    case Scaling::kF32:
      load_floats(scales, layout.scaling, result.scale);
      load_floats(scales + kBlockRows * (layout.scaling == Scaling::kF32 ? 4 : 2), layout.scaling,
                  result.bias);
      return;
  }
}

// ---- Unpacking: inputs [first, first + count) of 16 rows -> out [count][16].

template <class Element>
struct Scaled {
  const GroupScaling& scaling;
  float* out;
  STRAKE_INLINE void operator()(int64_t input, const Bits16& codes) const {
    Lanes value;
    Element::decode(codes, value);
    store(value * scaling.scale, out + input * kBlockRows);
  }
};

template <int Bits>
struct Affine {
  const GroupScaling& scaling;
  float* out;
  STRAKE_INLINE void operator()(int64_t input, const Bits16& codes) const {
    Lanes value;
    to_lanes(codes, value);
    value *= scaling.scale;
    store(value + scaling.bias, out + input * kBlockRows);
  }
};

template <class T>
void unpack_dense(const BlockLayout& layout, const std::byte* block, int64_t first, int64_t count,
                  float* out) {
  const auto* const from = reinterpret_cast<const T*>(block);
  const int64_t pair = layout.coding == Coding::kHalf ? 2 : 1;  // inputs of a row side by side
  for (int64_t i = 0; i < count; ++i) {
    const int64_t input = first + i;
    for (int64_t row = 0; row < kBlockRows; ++row)
      out[i * kBlockRows + row] =
          to_float(from[input / pair * pair * kBlockRows + row * pair + input % pair]);
  }
}

void unpack(const BlockLayout& layout, const std::byte* block, int64_t first, int64_t count,
            float* out) {
  GroupScaling scaling{};
  const int64_t group = first / layout.group_size;
  const Codes codes{block + layout.codes_offset(group), layout.codes_stride(group)};
  load_scaling(layout, block, group, scaling);
  switch (layout.coding) {
    case Coding::kU2:
      return each_code<2>(codes, count, Affine<2>{scaling, out});
    case Coding::kU3:
      return each_code<3>(codes, count, Affine<3>{scaling, out});
    case Coding::kU4:
      return each_code<4>(codes, count, Affine<4>{scaling, out});
    case Coding::kU5:
      return each_code<5>(codes, count, Affine<5>{scaling, out});
    case Coding::kU6:
      return each_code<6>(codes, count, Affine<6>{scaling, out});
    case Coding::kU8: {
      const Affine<8> use{scaling, out};
      if (layout.arrangement == Arrangement::kQuads) return each_byte_of_quads(codes, count, use);
      return each_byte_of_pairs(codes, count, [&](int64_t input, const Bits16& stored) {
        // from_sign_magnitude(), 16 times
        const Bits16 negative = (Bits16)(stored > 127u);
        use(input, (stored ^ (negative & 0xffu)) + (~negative & 128u));
      });
    }
    case Coding::kE2M1:
      return each_code<4>(codes, count, Scaled<E2M1Element>{scaling, out});
    case Coding::kE4M3: {
      const Scaled<E4M3Element> use{scaling, out};
      if (layout.arrangement == Arrangement::kQuads) return each_byte_of_quads(codes, count, use);
      return each_byte_of_pairs(codes, count, use);
    }
    case Coding::kHalf:
    case Coding::kFloat:
      if (layout.dtype == DType::kF32) return unpack_dense<float>(layout, block, first, count, out);
      if (layout.dtype == DType::kF16) return unpack_dense<F16>(layout, block, first, count, out);
      return unpack_dense<Bf16>(layout, block, first, count, out);
  }
}

// Inputs that unpack() takes at once: a group; of dense weights any number.
int64_t unit_of(const BlockLayout& layout, int64_t dense_unit) {
  return layout.scaling == Scaling::kNone ? dense_unit : layout.group_size;
}

// ---- Products

// sums [Rows][16] += x [inputs][Rows] times values [inputs][16].
template <int Rows>
void add_products(const float* x, const float* values, int64_t inputs, float* sums) {
  Lanes sum[Rows];
  for (int m = 0; m < Rows; ++m) load(sums + m * kBlockRows, sum[m]);
  for (int64_t i = 0; i < inputs; ++i) {
    Lanes w;
    load(values + i * kBlockRows, w);
    for (int m = 0; m < Rows; ++m) multiply_add(w, x[i * Rows + m], sum[m]);
  }
  for (int m = 0; m < Rows; ++m) store(sum[m], sums + m * kBlockRows);
}

using AddProducts = void (*)(const float*, const float*, int64_t, float*);

void multiply_block(const BlockProduct& product) {
  static constexpr AddProducts kByRows[kTileRows] = {add_products<1>, add_products<2>,
                                                     add_products<3>, add_products<4>,
                                                     add_products<5>, add_products<6>};
  auto* const values = reinterpret_cast<float*>(product.scratch);
  float* const stack = values + kMostInputs * kBlockRows;  // [depth][rows][16]
  int64_t rows = 0;
  for (const Tile& tile : product.tiles) rows += tile.rows;
  const int64_t level = rows * kBlockRows;
  const int64_t unit = unit_of(product.layout, product.schedule.unit);
  int64_t input = 0;
  float* top = stack - level;
  for (const SumSchedule::Step& step : product.schedule.steps) {
    top += level;
    std::fill_n(top, level, 0.0f);
    for (const int64_t end = input + step.inputs; input < end; input += unit) {
      unpack(product.layout, product.block, input, unit, values);
      float* sums = top;
      for (const Tile& tile : product.tiles) {
        kByRows[tile.rows - 1](reinterpret_cast<const float*>(tile.x) + input * tile.rows, values,
                               unit, sums);
        sums += tile.rows * kBlockRows;
      }
    }
    for (int merge = 0; merge < step.merges; ++merge) {
      top -= level;
      for (int64_t i = 0; i < level; ++i) top[i] += top[level + i];
    }
    if (step.node < 0) continue;
    const float* sum = top;
    for (const Tile& tile : product.tiles)
      for (int m = 0; m < tile.rows; ++m, sum += kBlockRows)
        std::copy_n(sum, std::min<int64_t>(product.outputs, kBlockRows),
                    tile.out[m] + step.node * product.node_stride + product.first_output);
    top -= level;
  }
}

void multiply(const BlockProduct& product) {
  for (int i = 0; i < product.blocks; ++i) {
    BlockProduct one = product;
    one.block += i * product.stride;
    one.blocks = 1;
    one.first_output += i * kBlockRows;
    one.outputs -= i * kBlockRows;
    multiply_block(one);
  }
}

size_t scratch_bytes(const BlockLayout&, const SumSchedule& schedule, int64_t rows) {
  return static_cast<size_t>((kMostInputs + schedule.depth * rows) * kBlockRows * 4);
}

void unpack_row(const BlockLayout& layout, const std::byte* block, int row, float* out) {
  float values[kMostInputs * kBlockRows];
  const int64_t unit = unit_of(layout, kMostInputs);
  for (int64_t input = 0; input < layout.in; input += unit) {
    const int64_t count = std::min(unit, layout.in - input);
    unpack(layout, block, input, count, values);
    for (int64_t i = 0; i < count; ++i) out[input + i] = values[i * kBlockRows + row];
  }
}

constexpr FloatKernels kKernels{
    .products = {.activations = DType::kF32,
                 .run = 1,
                 .most_rows = kTileRows,
                 .most_tiles = kMostTiles,
                 .blocks_at_once = [](int64_t) { return 1; },
                 .scratch_bytes = scratch_bytes,
                 .multiply = multiply,
                 .wants_sums = [](const BlockLayout&) { return false; },
                 .sum_group = nullptr,
                 .input_factors = [](const BlockLayout&) -> const float* { return nullptr; }},
    .unpack_row = unpack_row};
