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

uint16_t* word(std::byte* codes, int index, int row, int odd) {
  return reinterpret_cast<uint16_t*>(codes + index * kRegister) + row * 2 + odd;
}

// codes [kRun] of one row -> its lane of the registers at `to`, which are zero so far.
template <int Bits>
void place_run(const uint8_t* codes, int row, std::byte* to) {
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

// Eight 4-bit codes of a word: those of even inputs to the lower half, the others to the upper.
uint32_t split_nibbles(uint32_t codes) {
  const auto gather = [](uint32_t nibbles) {  // nibbles 0, 2, 4, 6 -> 0, 1, 2, 3
    nibbles &= 0x0f0f0f0fu;
    nibbles = (nibbles | (nibbles >> 4)) & 0x00ff00ffu;
    return (nibbles | (nibbles >> 8)) & 0x0000ffffu;
  };
  return gather(codes) | (gather(codes >> 4) << 16);
}

template <class Spec>
void place_group(const uint32_t* words, int row, std::byte* to) {
  if constexpr (Spec::kBits == 4) {
    for (int i = 0; i < Spec::kWordsPerGroup; ++i) {
      const uint32_t lane = split_nibbles(words[i]);
      std::memcpy(to + i * kRegister + row * 4, &lane, sizeof lane);
    }
  } else if constexpr (Spec::kBits == 8) {
    constexpr bool kInteger = Spec::kMode == Mode::kAffine;
    for (int i = 0; i < Spec::kWordsPerGroup; ++i) {
      uint32_t four = words[i];
      // Bytes below 128 become 255 - c, the others c - 128: flip all bits but the top one where the
      // top one is clear, then flip the top one.
      if constexpr (kInteger) {
        const uint32_t small = ~four & 0x80808080u;
        four ^= 0x80808080u ^ (small - (small >> 7));
      }
      // Two byte-interleaves of 128 bits put pairs in their lanes when the first pairs of rows
      // 4 j .. 4 j + 3 fill the lower half of 16 bytes and their second pairs the upper.
      const auto low = static_cast<uint16_t>(four);
      const auto high = static_cast<uint16_t>(four >> 16);
      std::byte* const lane = to + i * kRegister + row / 4 * 16 + row % 4 * 2;
      std::memcpy(lane, &low, sizeof low);
      std::memcpy(lane + 8, &high, sizeof high);
    }
  } else {
    uint8_t codes[Spec::kGroupSize];
    unpack_group<Spec>(words, codes);
    for (int run = 0; run < Spec::kGroupSize / kRun; ++run)
      place_run<Spec::kBits>(codes + run * kRun, row, to + run * Spec::kBits * kRegister);
  }
}

// A scale (or bias) of one row, into its place among those of 16 rows.
void place_scale(const std::byte* from, int64_t index, int64_t size, int row, std::byte* to) {
  std::memcpy(to + row * size, from + index * size, static_cast<size_t>(size));
}

template <class Spec>
void pack_quantized(const QuantizedMatrix& matrix, const BlockLayout& layout, int64_t row,
                    int64_t count, std::byte* block) {
  const int64_t groups = layout.groups();
  const int64_t size = size_of(matrix.scales().dtype());
  const uint32_t* const codes = matrix.codes().data<uint32_t>().data();
  const std::byte* const scales = matrix.scales().bytes().data();
  const std::byte* const biases = matrix.biases() ? matrix.biases()->bytes().data() : nullptr;
  for (int r = 0; r < count; ++r)
    for (int64_t group = 0; group < groups; ++group) {
      const int64_t index = (row + r) * groups + group;
      place_group<Spec>(codes + index * Spec::kWordsPerGroup, r,
                        block + layout.codes_offset(group));
      std::byte* const line =
          block + layout.line_offset(group) + layout.group_in_line(group) * kBlockRows * size;
      place_scale(scales, index, size, r, line);
      if (biases != nullptr) place_scale(biases, index, size, r, line + kBlockRows * size);
    }
}

// Pairs of 16-bit values, or single float32, row by row.
void pack_dense(const Tensor& tensor, const BlockLayout& layout, int64_t row, int64_t count,
                std::byte* block) {
  const int64_t size = size_of(tensor.dtype());
  const int64_t lane = layout.coding == Coding::kHalf ? 4 : size;  // bytes of a row in a register
  const std::byte* const from = tensor.bytes().data() + row * layout.in * size;
  for (int64_t r = 0; r < count; ++r)
    for (int64_t at = 0; at < layout.in * size; at += lane)
      std::memcpy(block + at / lane * kRegister * lane / 4 + r * lane,
                  from + r * layout.in * size + at, static_cast<size_t>(lane));
}

}  // namespace

BlockLayout BlockLayout::of(const Weight& weight) {
  const int64_t in = weight.shape()[-1];
  if (const Tensor* dense = weight.dense()) {
    const bool pairs = dense->dtype() == DType::kBF16 && in % 2 == 0;
    const int64_t group = pairs ? 2 : 1;
    return {pairs ? Coding::kHalf : Coding::kFloat,
            Scaling::kNone,
            dense->dtype(),
            in,
            group,
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
    const int groups_log2 = has_biases(scaling) ? 0 : 2;
    return BlockLayout{coding_of<typename Spec::Element>(),
                       scaling,
                       DType::kF32,
                       in,
                       Spec::kGroupSize,
                       groups_log2,
                       has_biases(scaling) ? 2 * scale_bytes : scale_bytes << groups_log2,
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
  std::memset(block, 0, static_cast<size_t>(layout.block_bytes()));
  if (weight.dense() != nullptr) return pack_dense(*weight.dense(), layout, row, count, block);
  visit_format(weight.quantized()->format(), [&](auto spec) {
    pack_quantized<decltype(spec)>(*weight.quantized(), layout, row, count, block);
  });
}

}  // namespace strake::cpu
