// The kernels of AVX2 with FMA, and the sizes that they share.
#pragma once

#include "ops/cpu/product.h"

namespace strake::cpu::avx2 {

// Groups in turn of a single activation row, half as many of two: eight chains of sums. With more
// rows, codes are unpacked into panels first.
inline constexpr int kStreamGroups = 4;
// Of these, so many input by input: their chains fill the latency of an instruction.
inline constexpr int kGroupsTogether = 2;
// Bytes from what is read to what is fetched meanwhile: several groups in turn are no pattern that
// processors foresee.
inline constexpr int64_t kAhead = 8192;
// Of a tile: with 16 outputs, 12 of 16 registers hold sums.
inline constexpr int kTileRows = 6;
// Tiles that one panel multiplies: their activations stay in a cache from panel to panel.
inline constexpr int kMostTiles = 32;
// Inputs of a panel: 16 KB, half of a first cache.
inline constexpr int64_t kChunk = 256;
inline constexpr int64_t kChunkGroups = kChunk / 16;

// A chunk of a block as numbers: values [inputs][16], scales and biases [groups][16].
struct Panel {
  alignas(kRegister) float values[kChunk * kBlockRows];
  float scales[kChunkGroups * kBlockRows];
  float biases[kChunkGroups * kBlockRows];
};

}  // namespace strake::cpu::avx2
