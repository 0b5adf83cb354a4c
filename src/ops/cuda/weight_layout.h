// The layout of weights in a GPU's memory: "fragment order", one for all products.
//
// The contraction axis is a list of leaves, each padded with zeros to whole tiles of 64 elements;
// rows are padded to whole tiles of 16. A tile of 16 x 64 codes is one run of 128 * bits bytes,
// tiles stand row tile by row tile, in each leaf by leaf, and matrices of a stack one after the
// other: a (row tile, leaf) is one contiguous run. Scales stand in an array of their own in the
// same order.
//
// In a tile lane 4g + t of a warp owns the 32 codes that mma.m16n8k16 (and each warp of wgmma)
// takes as A for its four steps of 16 elements: register 4j + a has rows g + 8 (a & 1), elements
// 16j + 8 (a >> 1) + 2t and the next. Where the bits of a code stand in the lane's words is chosen
// so that a rotation and a mask, or nearly, put them where the decoded number needs them.
//
// Everything here is constexpr, for host and device (--expt-relaxed-constexpr).
#pragma once

#include <cstdint>

namespace strake::cuda {

inline constexpr int kTileRows = 16;
inline constexpr int kTileInputs = 64;
inline constexpr int kMaxLeaves = 16;
inline constexpr int kLanes = 32;
// A lane's registers of a tile, each two codes: half 0 is the lower element and the lower 16 bits.
inline constexpr int kLaneRegisters = 16;

// What a code is. kDense is 16 bits of bfloat16 or float16.
enum class Coding : uint8_t {
  kUInt2,
  kUInt3,
  kUInt4,
  kUInt5,
  kUInt6,
  kUInt8,
  kE2M1,
  kE4M3,
  kDense
};

// What a group has: nothing, a power of two, an e4m3 number, or a scale and a bias of 16 or 32
// bits each.
enum class Scaling : uint8_t { kNone, kE8M0, kE4M3, kAffine16, kAffine32 };
// What affine scales and biases are.
enum class ScaleType : int32_t { kBf16, kF16, kF32 };

constexpr int code_bits(Coding coding) {
  switch (coding) {
    case Coding::kUInt2:
      return 2;
    case Coding::kUInt3:
      return 3;
    case Coding::kUInt4:
    case Coding::kE2M1:
      return 4;
    case Coding::kUInt5:
      return 5;
    case Coding::kUInt6:
      return 6;
    case Coding::kUInt8:
    case Coding::kE4M3:
      return 8;
    case Coding::kDense:
      return 16;
  }
  return 0;
}

struct PackedFormat {
  Coding coding;
  Scaling scaling;
  int group;  // elements: 16, 32, 64 or 128; 64 where there are no scales

  constexpr int tile_bytes() const { return kTileRows * kTileInputs * code_bits(coding) / 8; }
  // Scales stand in blocks of one tile, or of two where a group spans two.
  constexpr int tiles_per_block() const { return group > kTileInputs ? group / kTileInputs : 1; }
  constexpr int groups_per_block() const { return group < kTileInputs ? kTileInputs / group : 1; }
  constexpr int scale_block_bytes() const {
    switch (scaling) {
      case Scaling::kNone:
        return 0;
      case Scaling::kE8M0:
      case Scaling::kE4M3:
        return kTileRows * groups_per_block();
      case Scaling::kAffine16:
        return kTileRows * groups_per_block() * 4;
      case Scaling::kAffine32:
        return kTileRows * groups_per_block() * 8;
    }
    return 0;
  }

  friend constexpr bool operator==(PackedFormat, PackedFormat) = default;
};

// Where a tile keeps a bit: bit `bit` of the 32-bit word at byte `byte`.
struct BitPlace {
  int byte;
  int bit;
};

// Which lane and register element (row, k) of a tile belongs to.
struct LanePlace {
  int lane;
  int reg;
  int half;
};

constexpr LanePlace lane_place(int row, int k) {
  const int step = k / 16, in_step = k % 16;
  return {4 * (row % 8) + in_step % 8 / 2, 4 * step + 2 * (in_step / 8) + row / 8, k % 2};
}

constexpr int row_of(int lane, int reg) { return lane / 4 + 8 * (reg & 1); }
constexpr int input_of(int lane, int reg, int half) {
  return 16 * (reg / 4) + 8 * (reg >> 1 & 1) + 2 * (lane % 4) + half;
}

// Bytes of a lane in a piece of a tile's plane of `bits` a code: [32 lanes][16 bytes], as many as
// it takes, or [32 lanes] of the 8 or 4 bytes that a lane has.
constexpr int piece_bytes(int bits) { return bits < 4 ? 4 * bits : 16; }

// Byte of word `word` of a lane in its tile. Planes stand one after the other: 3 bits are two and
// one, 5 are four and one, 6 are four and two.
constexpr int word_byte(Coding coding, int lane, int word) {
  const int bits = code_bits(coding);
  const int first = bits == 3 ? 2 : (bits == 5 || bits == 6 ? 4 : bits);
  const bool second = word >= first;
  const int plane = second ? bits - first : first;
  const int at = 4 * (second ? word - first : word);
  const int piece = piece_bytes(plane);
  return (second ? kLanes * 4 * first : 0) + at / piece * (kLanes * piece) + lane * piece +
         at % piece;
}

// Where an integer's lowest bit stands in bfloat16's mantissa of 7 bits once it is decoded: with
// the exponent of 2^(7 - place) that is the number plus as much. Codes of 4 bits and more have
// their highest bit on top there; smaller ones have two places, of every other 8 inputs, so that a
// rotation serves two registers.
constexpr bool has_two_places(Coding coding) {
  return coding == Coding::kUInt2 || coding == Coding::kUInt3;
}
constexpr int mantissa_place(Coding coding, int reg) {
  if (has_two_places(coding)) return reg / 2 % 2 == 0 ? 4 : 2;
  return 7 - code_bits(coding);
}
// How far a register's lowest bits are rotated right, to get there.
constexpr int rotation(Coding coding, int reg) {
  return 4 * (has_two_places(coding) ? reg % 8 / 4 * 2 + reg % 2 : reg % 4);
}

// Of each register, its bit in the half words of a plane of one bit a code: one shift brings those
// of registers with two places beside their lower bits.
constexpr int one_bit_place(int reg) { return reg ^ 2; }

// Bits of the e4m3 codes of a register pair's member in 16-bit halves: {bit, other half?} of bit b.
// Member 0 stands where bfloat16 has sign, lower exponent and upper mantissa; member 1 comes there
// by rotating right by 4 (sign, exponent) and left by 4 (mantissa).
constexpr int e4m3_bit(int member, int half, int b) {
  if (member == 0) return 16 * half + (b == 7 ? 15 : b + 4);
  if (b == 7) return 16 * (1 - half) + 3;
  return 16 * half + (b >= 3 ? b + 8 : b);
}

// The same for e2m1: member 0 in place, 1 by rotating right by 6, 2 by 3; member 3's bits are
// masked and multiplied by 2^3 + 2^8 + 2^14.
constexpr int e2m1_bit(int member, int half, int b) {
  constexpr int kMagnitude[4][3] = {{6, 7, 8}, {12, 13, 14}, {9, 10, 11}, {3, 4, 0}};
  constexpr int kSign[4] = {15, 5, 2, 1};
  if (b < 3) return 16 * half + kMagnitude[member][b];
  const bool rotated = member == 1 || member == 2;
  return 16 * (rotated ? 1 - half : half) + kSign[member];
}

// Where bit b of the code of (reg, half) stands in its lane's words.
struct LaneBit {
  int word;
  int bit;
};

constexpr LaneBit lane_bit(Coding coding, int reg, int half, int b) {
  const LaneBit two = {reg / 8, 16 * half + 2 * (reg % 8)};
  // The lowest bits, two or four.
  const LaneBit low = {has_two_places(coding) ? reg / 8 : reg / 4,
                       (16 * half + mantissa_place(coding, reg) + rotation(coding, reg) + b) % 32};
  const int one = 16 * half + one_bit_place(reg);
  switch (coding) {
    case Coding::kUInt2:
    case Coding::kUInt4:
      return low;
    case Coding::kUInt3:
      return b < 2 ? low : LaneBit{2, one};
    case Coding::kUInt5:
      return b < 4 ? low : LaneBit{4, one};
    case Coding::kUInt6:
      return b < 4 ? low : LaneBit{4 + two.word, two.bit + b - 4};
    case Coding::kUInt8:
      return {reg / 2, 16 * half + 8 * (reg & 1) + b};
    case Coding::kE2M1:
      return {reg / 4, e2m1_bit(reg % 4, half, b)};
    case Coding::kE4M3:
      return {reg / 2, e4m3_bit(reg & 1, half, b)};
    case Coding::kDense:
      return {reg, 16 * half + b};
  }
  return {0, 0};
}

// Where it stands in its tile.
constexpr BitPlace code_bit(Coding coding, int lane, int reg, int half, int b) {
  const LaneBit place = lane_bit(coding, reg, half, b);
  return {word_byte(coding, lane, place.word), place.bit};
}

// Byte of an e8m0 scale in its block: a lane's four stand together,
// [g][group][row g, row g + 8].
constexpr int e8m0_byte(int row, int group) { return 4 * (row % 8) + 2 * group + row / 8; }

// Where bit b of an e4m3 scale stands in its block: [g][2 words], each two groups as the members
// of a pair of registers whose halves are rows g and g + 8.
constexpr BitPlace e4m3_scale_bit(int row, int group, int b) {
  return {8 * (row % 8) + 4 * (group / 2), e4m3_bit(group & 1, row / 8, b)};
}

// Byte of an affine scale (part 0) or bias (part 1) of `bytes` bytes in its block:
// [g][group][scale, bias][row g, row g + 8].
constexpr int affine_byte(PackedFormat format, int row, int group, int part) {
  const int bytes = format.scaling == Scaling::kAffine32 ? 4 : 2;
  return bytes * (4 * (row % 8 * format.groups_per_block() + group) + 2 * part + row / 8);
}

// The leaves of a contraction axis. Cuts ascend from 0 to the axis' extent and fall on whole
// groups.
struct Leaves {
  int count = 0;
  int32_t cuts[kMaxLeaves + 1] = {};   // in elements
  int32_t tiles[kMaxLeaves + 1] = {};  // the first tile of each in a row tile's run; then all

  constexpr void push(int32_t inputs) {
    cuts[count + 1] = cuts[count] + inputs;
    tiles[count + 1] = tiles[count] + (inputs + kTileInputs - 1) / kTileInputs;
    ++count;
  }
  constexpr int32_t inputs() const { return cuts[count]; }
  constexpr int32_t total_tiles() const { return tiles[count]; }
  constexpr int leaf_of(int32_t input) const {
    int leaf = 0;
    while (input >= cuts[leaf + 1]) ++leaf;
    return leaf;
  }

  friend constexpr bool operator==(const Leaves&, const Leaves&) = default;
};

// One matrix [rows, leaves.inputs()] and where its parts begin.
struct PackedShape {
  PackedFormat format;
  int32_t rows;
  Leaves leaves;

  constexpr int32_t row_tiles() const { return (rows + kTileRows - 1) / kTileRows; }
  constexpr int64_t code_bytes() const {
    return int64_t{row_tiles()} * leaves.total_tiles() * format.tile_bytes();
  }
  constexpr int64_t scale_bytes() const {
    return int64_t{row_tiles()} * (leaves.total_tiles() / format.tiles_per_block()) *
           format.scale_block_bytes();
  }
  // Byte of a tile, counted in its row tile's run over all leaves.
  constexpr int64_t tile_offset(int32_t row_tile, int32_t tile) const {
    return (int64_t{row_tile} * leaves.total_tiles() + tile) * format.tile_bytes();
  }
  constexpr int64_t scale_offset(int32_t row_tile, int32_t tile) const {
    const int per_block = format.tiles_per_block();
    return (int64_t{row_tile} * (leaves.total_tiles() / per_block) + tile / per_block) *
           format.scale_block_bytes();
  }
  // The tile of an input, and its element there.
  constexpr int32_t tile_of(int32_t input) const {
    const int leaf = leaves.leaf_of(input);
    return leaves.tiles[leaf] + (input - leaves.cuts[leaf]) / kTileInputs;
  }
  constexpr int element_of(int32_t input) const {
    return (input - leaves.cuts[leaves.leaf_of(input)]) % kTileInputs;
  }
};

}  // namespace strake::cuda
