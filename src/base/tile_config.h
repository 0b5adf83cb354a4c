// The shapes of AMX's tile registers, as `ldtilecfg` reads them (Intel SDM, volume 1, chapter 18).
#pragma once

#include <cstdint>

namespace strake {

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};  // at most 64, of tile registers 0 to 7
  uint8_t rows[16] = {};        // at most 16

  void set(int tile, int tile_rows, int tile_row_bytes) {
    rows[tile] = static_cast<uint8_t>(tile_rows);
    row_bytes[tile] = static_cast<uint16_t>(tile_row_bytes);
  }
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace strake
