// The layout that matmul kernels read: blocks of 16 rows of a weight, interleaved so that one
// 64-byte load holds the same few inputs of all 16 rows.
//
// A block is its groups in order; a line of 64 bytes or more with the scales of 16 rows side by
// side precedes each group, or each four of them. A group's codes come in runs of 32 inputs (16 for
// groups of 16). Lane r (32 bits) of a register belongs to row r and is two 16-bit words, for the
// even and the odd input of a pair; the pairs of a run lie in the words at the places that Fields
// says. An Arrangement is how groups and bytes lie beside each other.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "ops/cpu/path.h"
#include "strake/quant/weight.h"

namespace strake::cpu {

inline constexpr int kBlockRows = 16;
inline constexpr int64_t kRegister = 64;  // bytes
// Kernels may read so many bytes after a block, and ignore them: three groups of the largest size.
inline constexpr int64_t kReadBeyond = 3 * (16 * 128 + 2 * 16 * 4) + 1;

// How codes lie in a block, which decides how kernels unpack them.
enum class Coding : uint8_t { kU2, kU3, kU4, kU5, kU6, kU8, kE2M1, kE4M3, kHalf, kFloat };

enum class Arrangement : uint8_t {
  // For kernels that multiply pairs of bfloat16. Four groups share a line where a scale is a byte.
  // The four bytes that a register holds of each row's 8-bit codes are two pairs, placed so that
  // two byte-interleaves of 128 bits bring them to their lanes: the first pairs of rows
  // 4 j .. 4 j + 3 fill the lower half of 16 bytes, their second pairs the upper. Unsigned ones are
  // to_sign_magnitude().
  kPairs,
  // For kernels that multiply float32. They take four groups in turn, whose sums do not wait for
  // each other, and should find them in the order of memory, which processors foresee: four groups
  // share a line, and their codes alternate register by register. The four bytes of a row stand in
  // its lane as the checkpoint has them.
  kQuads,
};

// What the path's kernels read.
constexpr Arrangement arrangement_of(Path path) {
  return path == Path::kAvx512 || path == Path::kAmx ? Arrangement::kPairs : Arrangement::kQuads;
}

enum class Scaling : uint8_t { kNone, kE8M0, kE4M3, kBF16, kF16, kF32 };

constexpr bool has_biases(Scaling scaling) { return scaling >= Scaling::kBF16; }

// Where the 16 pairs of a run of 32 inputs with codes of Bits bits lie: whole fields first, as
// many as a word takes, register by register; then the bits that are left over form the last
// pairs, piece by piece.
template <int Bits>
struct Fields {
  static constexpr int kPerWord = 16 / Bits;
  static constexpr int kWhole = Bits * kPerWord;  // pairs in whole fields
  // `bits` bits of a code from bit `code_shift` on lie in word `word` from bit `word_shift` on.
  struct Piece {
    int word;  // which register
    int word_shift;
    int code_shift;
    int bits;
  };
  static constexpr int kPieces = Bits == 6 ? 2 : Bits;  // of each pair after the whole ones
  static constexpr Piece piece(int pair, int index) {
    if constexpr (Bits == 6) {
      const int first = (pair - kWhole) / 2 * 3;
      const int odd = (pair - kWhole) % 2;
      return index == 0 ? Piece{first + odd, 12, 0, 4} : Piece{first + 2, 12 + 2 * odd, 4, 2};
    }
    return {index, 15, index, 1};
  }
};

// Unsigned 8-bit codes of kPairs are stored as sign and magnitude of the odd number 2 c - 255,
// whose halves and bits bfloat16 holds exactly: bit 7 is the sign, the others (|2 c - 255| - 1)
// / 2.
constexpr uint8_t to_sign_magnitude(uint8_t code) {
  return static_cast<uint8_t>(code >= 128 ? code - 128 : 255 - code);
}
constexpr uint8_t from_sign_magnitude(uint8_t stored) {
  return static_cast<uint8_t>(stored < 128 ? stored + 128 : 255 - stored);
}

struct BlockLayout {
  Coding coding;
  Arrangement arrangement;
  Scaling scaling;
  DType dtype;           // of dense weights
  int64_t in;            // inputs of a row
  int64_t group_size;    // inputs that share a scale; 1 or a pair of dense weights
  int groups_log2;       // of the groups that share a line
  int64_t line_bytes;    // 0 without scales
  int64_t scales_bytes;  // of a group's scales and biases
  int64_t group_bytes;   // 16 rows of codes
  float tensor_scale;    // all values are multiplied by it

  static BlockLayout of(const Weight& weight, Arrangement arrangement);

  int64_t groups() const { return in / group_size; }
  // Bytes from the block's beginning to the line of a group, to its scales (then biases), and to
  // the first register of its codes.
  int64_t line_offset(int64_t group) const {
    return (group >> groups_log2) * (line_bytes + (group_bytes << groups_log2));
  }
  int64_t scales_offset(int64_t group) const {
    return line_offset(group) + group_in_line(group) * scales_bytes;
  }
  int64_t codes_offset(int64_t group) const {
    return line_offset(group) + line_bytes +
           group_in_line(group) * (alternates() ? kRegister : group_bytes);
  }
  // Bytes from a register of the group's codes to the next. The last line may have fewer groups.
  int64_t codes_stride(int64_t group) const {
    const int64_t first = group - group_in_line(group);
    return alternates() ? std::min(groups() - first, int64_t{1} << groups_log2) * kRegister
                        : kRegister;
  }
  int64_t block_bytes() const;

 private:
  bool alternates() const { return arrangement == Arrangement::kQuads; }
  int64_t group_in_line(int64_t group) const { return group & ((1 << groups_log2) - 1); }
};

// Writes rows [row, row + count) of the weight (counted over a stack's matrices) as one block;
// count is at most 16, and rows that are missing become zeros.
void pack_block(const Weight& weight, const BlockLayout& layout, int64_t row, int64_t count,
                std::byte* block);

}  // namespace strake::cpu
