// The kernels of AMX, and the sizes that they share.
#pragma once

#include "ops/cpu/product.h"

namespace strake::cpu::amx {

// Whether processor and system let this process use AMX: asks the system for its registers' state,
// which it must save.
bool permitted();

// Whether the sums' parts are whole tile products: groups with a scale are, and of dense weights
// what trees with cuts at multiples of 32 inputs divide. Others are for AVX-512's kernels.
bool takes(const BlockLayout& layout, const SumSchedule& schedule);

inline constexpr int kTileRows = 16;  // of activations
inline constexpr int kTileInputs = 32;
// Blocks that multiply the same rows: what is read of activations from the second cache then costs
// less than the tile products.
inline constexpr int kWide = 3;
// Tiles that one panel multiplies. With more, unpacking costs less, but their activations leave the
// second cache (2 MB on Sapphire Rapids: 256 rows of 4096 inputs) from panel to panel.
inline constexpr int kPanelTiles = 16;
// Inputs of a panel: 24 KB of three blocks' pairs and 8 KB of 16 rows fit the first cache (48 KB).
inline constexpr int64_t kChunk = 256;
inline constexpr int64_t kChunkGroups = kChunk / 16;

}  // namespace strake::cpu::amx
