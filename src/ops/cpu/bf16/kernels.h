// The kernels of AVX-512 with bfloat16 dot products, and the sizes that they share.
#pragma once

#include "ops/cpu/product.h"

namespace strake::cpu::bf16 {

// Up to so many activation rows, a block at a time goes from memory through registers.
inline constexpr int kStreamRows = 4;
// Up to so many rows, two blocks at a time do; with more they are unpacked into panels first.
inline constexpr int kDirectRows = 8;
inline constexpr int kWide = 2;
// Of a tile: with two blocks, 24 of 32 registers hold sums.
inline constexpr int kPanelRows = 12;
// Tiles that one panel multiplies: their activations stay in a cache from panel to panel.
inline constexpr int kPanelTiles = 24;
// Inputs of a panel: 16 KB of two blocks' pairs and 6 KB of 12 rows fit the first cache.
inline constexpr int64_t kChunk = 256;
inline constexpr int64_t kChunkGroups = kChunk / 16;

// A chunk of two blocks: pairs [inputs / 2][2], scales and biases [groups][2][16].
struct Panel {
  alignas(kRegister) std::byte pairs[kChunk / 2 * kWide * kRegister];
  float scales[kChunkGroups * kWide * kBlockRows];
  float biases[kChunkGroups * kWide * kBlockRows];
};

void multiply_affine(const BlockProduct& product);
void multiply_floating(const BlockProduct& product);
void multiply_dense(const BlockProduct& product);

}  // namespace strake::cpu::bf16
