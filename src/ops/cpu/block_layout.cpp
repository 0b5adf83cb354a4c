#include "ops/cpu/block_layout.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "quant/format_list.h"
#include "quant/packing.h"

namespace strake::cpu {
namespace {

constexpr int kRun = 32;  // inputs

template <class Element>
constexpr Coding coding_of() {
  if constexpr (std::is_same_v<Element, E2M1>) return Coding::kE2M1;
  if constexpr (std::is_same_v<Element, E4M3>) return Coding::kE4M3;
  if constexpr (std::is_same_v<Element, UInt<2>>) return Coding::kU2;
  if constexpr (std::is_same_v<Element, UInt<3>>) return Coding::kU3;
  if constexpr (std::is_same_v<Element, UInt<4>>) return Coding::kU4;
  if constexpr (std::is_same_v<Element, UInt<5>>) return Coding::kU5;
  if constexpr (std::is_same_v<Element, UInt<6>>) return Coding::kU6;
  if constexpr (std::is_same_v<Element, UInt<8>>) return Coding::kU8;
}

template <class Scale>
Scaling scaling_of(DType dtype) {
  if constexpr (std::is_same_v<Scale, E8M0>) return Scaling::kE8M0;
  if constexpr (std::is_same_v<Scale, E4M3Scale>) return Scaling::kE4M3;
  if (dtype == DType::kBF16) return Scaling::kBF16;
  return dtype == DType::kF16 ? Scaling::kF16 : Scaling::kF32;
}

// Where the registers of a group's codes lie.
struct Registers {
  std::byte* first;
  int64_t stride;

  std::byte* operator[](int64_t index) const { return first + index * stride; }
  Registers from(int64_t index) const { return {(*this)[index], stride}; }
};

uint16_t* word(Registers to, int index, int row, int odd) {
  return reinterpret_cast<uint16_t*>(to[index]) + row * 2 + odd;
}

// codes [kRun] of one row -> its lane of the registers, which are zero so far.
template <int Bits>
void place_run(const uint8_t* codes, int row, Registers to) {
  using F = Fields<Bits>;
  for (int i = 0; i < kRun; ++i) {
    const int pair = i / 2;
    const int odd = i % 2;
    if (pair < F::kWhole) {
      *word(to, pair / F::kPerWord, row, odd) |=
          static_cast<uint16_t>(codes[i] << (pair % F::kPerWord * Bits));
    } else {
      for (int k = 0; k < F::kPieces; ++k) {
        const auto piece = F::piece(pair, k);
        const int bits = (codes[i] >> piece.code_shift) & ((1 << piece.bits) - 1);
        *word(to, piece.word, row, odd) |= static_cast<uint16_t>(bits << piece.word_shift);
      }
    }
  }
}

// One word of each of four rows, or four words of one; g++ and clang have these on every processor.
using FourWords __attribute__((vector_size(16))) = uint32_t;
using EightHalves __attribute__((vector_size(16))) = uint16_t;
constexpr int kQuad = 4;

// Of each word its eight 4-bit codes: those of even inputs to the lower half, the others to the
// upper.
template <class Words>
Words split_nibbles(Words codes) {
  const auto gather = [](Words nibbles) {  // nibbles 0, 2, 4, 6 -> 0, 1, 2, 3
    nibbles &= 0x0f0f0f0fu;
    nibbles = (nibbles | (nibbles >> 4)) & 0x00ff00ffu;
    return (nibbles | (nibbles >> 8)) & 0x0000ffffu;
  };
  return gather(codes) | (gather(codes >> 4) << 16);
}

// Of each word its four bytes: those below 128 become 255 - c, the others c - 128.
template <class Words>
Words signs_and_magnitudes(Words bytes) {
  // Flips all bits but the top one where the top one is clear, then the top one.
  const Words small = ~bytes & 0x80808080u;
  return bytes ^ 0x80808080u ^ (small - (small >> 7));
}

// The words of a group as they stand in lanes.
template <class Spec, Arrangement Order, class Words>
Words lanes_of(Words words) {
  if constexpr (Spec::kBits == 4) return split_nibbles(words);
  if constexpr (Spec::kMode == Mode::kAffine && Order == Arrangement::kPairs)
    return signs_and_magnitudes(words);
  return words;
}

// Whether groups of four rows are placed at once.
template <class Spec>
constexpr bool kTakesQuads = (Spec::kBits == 4 || Spec::kBits == 8) && Spec::kWordsPerGroup % kQuad
                                                                           == 0;

// A group of four rows, `stride` words apart, the first of them a multiple of four.
template <class Spec, Arrangement Order>
void place_quad(const uint32_t* words, int64_t stride, int row, Registers to) {
  for (int i = 0; i < Spec::kWordsPerGroup; i += kQuad) {
    FourWords of_row[kQuad];
    for (int r = 0; r < kQuad; ++r) {
      std::memcpy(&of_row[r], words + r * stride + i, sizeof of_row[r]);
      of_row[r] = lanes_of<Spec, Order>(of_row[r]);
    }
    const auto low = __builtin_shufflevector(of_row[0], of_row[1], 0, 4, 1, 5);
    const auto high = __builtin_shufflevector(of_row[0], of_row[1], 2, 6, 3, 7);
    const auto other_low = __builtin_shufflevector(of_row[2], of_row[3], 0, 4, 1, 5);
    const auto other_high = __builtin_shufflevector(of_row[2], of_row[3], 2, 6, 3, 7);
    const FourWords turned[kQuad] = {__builtin_shufflevector(low, other_low, 0, 1, 4, 5),
                                     __builtin_shufflevector(low, other_low, 2, 3, 6, 7),
                                     __builtin_shufflevector(high, other_high, 0, 1, 4, 5),
                                     __builtin_shufflevector(high, other_high, 2, 3, 6, 7)};
    for (int k = 0; k < kQuad; ++k) {
      auto halves = reinterpret_cast<EightHalves>(turned[k]);
      if constexpr (Spec::kBits == 8 && Order == Arrangement::kPairs)  // as place_group does
        halves = __builtin_shufflevector(halves, halves, 0, 2, 4, 6, 1, 3, 5, 7);
      std::memcpy(to[i + k] + row * 4, &halves, sizeof halves);
    }
  }
}

template <class Spec, Arrangement Order>
void place_group(const uint32_t* words, int row, Registers to) {
  if constexpr (Spec::kBits == 4 || (Spec::kBits == 8 && Order == Arrangement::kQuads)) {
    for (int i = 0; i < Spec::kWordsPerGroup; ++i) {
      const uint32_t lane = lanes_of<Spec, Order>(words[i]);
      std::memcpy(to[i] + row * 4, &lane, sizeof lane);
    }
  } else if constexpr (Spec::kBits == 8) {
    for (int i = 0; i < Spec::kWordsPerGroup; ++i) {
      const uint32_t four = lanes_of<Spec, Order>(words[i]);
      const auto low = static_cast<uint16_t>(four);
      const auto high = static_cast<uint16_t>(four >> 16);
      std::byte* const lane = to[i] + row / 4 * 16 + row % 4 * 2;
      std::memcpy(lane, &low, sizeof low);
      std::memcpy(lane + 8, &high, sizeof high);
    }
  } else {
    uint8_t codes[Spec::kGroupSize];
    unpack_group<Spec>(words, codes);
    for (int run = 0; run < Spec::kGroupSize / kRun; ++run)
      place_run<Spec::kBits>(codes + run * kRun, row, to.from(run * Spec::kBits));
  }
}

// The scales (or biases) of `count` rows, each into its place among those of 16 rows; `to` is where
// those of the block's first group begin.
template <int64_t Size>
void place_scales(const std::byte* from, const BlockLayout& layout, int64_t count, std::byte* to) {
  const int64_t groups = layout.groups();
  for (int64_t group = 0; group < groups; ++group) {
    std::byte* const of_group = to + layout.scales_offset(group);
    for (int64_t r = 0; r < count; ++r)
      std::memcpy(of_group + r * Size, from + (r * groups + group) * Size, Size);
  }
}

void place_scales(const Tensor& scales, const BlockLayout& layout, int64_t row, int64_t count,
                  std::byte* to) {
  const int64_t size = size_of(scales.dtype());
  const std::byte* const from = scales.bytes().data() + row * layout.groups() * size;
  if (size == 1) return place_scales<1>(from, layout, count, to);
  if (size == 2) return place_scales<2>(from, layout, count, to);
  place_scales<4>(from, layout, count, to);
}

// All of the block from there on.
void clear(const BlockLayout& layout, int64_t from, std::byte* block) {
  std::memset(block + from, 0, static_cast<size_t>(layout.block_bytes() - from));
}

template <class Spec, Arrangement Order>
void pack_quantized(const QuantizedMatrix& matrix, const BlockLayout& layout, int64_t row,
                    int64_t count, std::byte* block) {
  const int64_t groups = layout.groups();
  const int64_t stride = groups * Spec::kWordsPerGroup;
  const uint32_t* const codes = matrix.codes().data<uint32_t>().data() + row * stride;
  const auto registers = [&](int64_t group) {
    return Registers{block + layout.codes_offset(group), layout.codes_stride(group)};
  };
  // Quads of all rows fill every line but the last, which may have fewer groups.
  const bool fills = kTakesQuads<Spec> && count == kBlockRows;
  clear(layout, fills ? layout.line_offset(std::max<int64_t>(groups - 1, 0)) : 0, block);
  int r = 0;
  if constexpr (kTakesQuads<Spec>)
    for (; r + kQuad <= count; r += kQuad)
      for (int64_t group = 0; group < groups; ++group)
        place_quad<Spec, Order>(codes + r * stride + group * Spec::kWordsPerGroup, stride, r,
                                registers(group));
  for (; r < count; ++r)
    for (int64_t group = 0; group < groups; ++group)
      place_group<Spec, Order>(codes + r * stride + group * Spec::kWordsPerGroup, r,
                               registers(group));
  place_scales(matrix.scales(), layout, row, count, block);
  if (matrix.biases())
    place_scales(*matrix.biases(), layout, row, count,
                 block + kBlockRows * size_of(matrix.scales().dtype()));
}

// Pairs of 16-bit values, or single float32, row by row.
void pack_dense(const Tensor& tensor, const BlockLayout& layout, int64_t row, int64_t count,
                std::byte* block) {
  clear(layout, 0, block);
  const int64_t size = size_of(tensor.dtype());
  const int64_t lane = layout.coding == Coding::kHalf ? 4 : size;  // bytes of a row in a register
  const std::byte* const from = tensor.bytes().data() + row * layout.in * size;
  for (int64_t r = 0; r < count; ++r)
    for (int64_t at = 0; at < layout.in * size; at += lane)
      std::memcpy(block + at / lane * kRegister * lane / 4 + r * lane,
                  from + r * layout.in * size + at, static_cast<size_t>(lane));
}

}  // namespace

BlockLayout BlockLayout::of(const Weight& weight, Arrangement arrangement) {
  const int64_t in = weight.shape()[-1];
  if (const Tensor* dense = weight.dense()) {
    const bool pairs = dense->dtype() == DType::kBF16 && in % 2 == 0;
    const int64_t group = pairs ? 2 : 1;
    return {pairs ? Coding::kHalf : Coding::kFloat,
            arrangement,
            Scaling::kNone,
            dense->dtype(),
            in,
            group,
            0,
            0,
            0,
            kBlockRows * group * size_of(dense->dtype()),
            1.0f};
  }
  const QuantizedMatrix& matrix = *weight.quantized();
  return visit_format(matrix.format(), [&](auto spec) {
    using Spec = decltype(spec);
    const Scaling scaling = scaling_of<typename Spec::Scale>(matrix.scales().dtype());
    const int64_t group_bytes = int64_t{kBlockRows} * Spec::kGroupSize * Spec::kBits / 8;
    const int64_t scale_bytes = kBlockRows * size_of(matrix.scales().dtype());
    const int64_t scales_bytes = has_biases(scaling) ? 2 * scale_bytes : scale_bytes;
    const int groups_log2 = has_biases(scaling) && arrangement == Arrangement::kPairs ? 0 : 2;
    return BlockLayout{coding_of<typename Spec::Element>(),
                       arrangement,
                       scaling,
                       DType::kF32,
                       in,
                       Spec::kGroupSize,
                       groups_log2,
                       scales_bytes << groups_log2,
                       scales_bytes,
                       group_bytes,
                       matrix.tensor_scale()};
  });
}

int64_t BlockLayout::block_bytes() const {
  const int64_t lines = (groups() + (1 << groups_log2) - 1) >> groups_log2;
  const int64_t bytes = lines * line_bytes + groups() * group_bytes;
  return (bytes + kRegister - 1) / kRegister * kRegister;
}

void pack_block(const Weight& weight, const BlockLayout& layout, int64_t row, int64_t count,
                std::byte* block) {
  if (weight.dense() != nullptr) return pack_dense(*weight.dense(), layout, row, count, block);
  visit_format(weight.quantized()->format(), [&](auto spec) {
    using Spec = decltype(spec);
    if (layout.arrangement == Arrangement::kQuads)
      pack_quantized<Spec, Arrangement::kQuads>(*weight.quantized(), layout, row, count, block);
    else
      pack_quantized<Spec, Arrangement::kPairs>(*weight.quantized(), layout, row, count, block);
  });
}

}  // namespace strake::cpu
