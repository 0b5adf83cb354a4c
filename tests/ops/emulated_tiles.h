// AMX without AMX: what its tile instructions compute, in plain C++, and the kernels with it.
#pragma once

#include <cstdint>

#include "base/tile_config.h"
#include "ops/cpu/product.h"

namespace strake::cpu {

// Stands for amx::ProcessorTiles. Throws std::logic_error where the processor would trap.
class EmulatedTiles {
 public:
  static void configure(const TileConfig& config);
  static void release() { configure({}); }
  template <int Tile>
  static void zero() {
    zero(Tile);
  }
  template <int Tile>
  static void load(const void* from, int64_t stride) {
    load(Tile, from, stride);
  }
  template <int Tile>
  static void store(void* to, int64_t stride) {
    store(Tile, to, stride);
  }
  template <int Sums, int Left, int Right>
  static void multiply() {
    multiply(Sums, Left, Right);
  }

 private:
  static void zero(int tile);
  static void load(int tile, const void* from, int64_t stride);
  static void store(int tile, void* to, int64_t stride);
  static void multiply(int sums, int left, int right);
};

// amx_kernels(), but for the tiles; for processors with AVX-512 and bfloat16.
const ProductKernels& emulated_amx_kernels();

}  // namespace strake::cpu
