// The processor's tile registers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/tile_config.h"

namespace strake::cpu::amx {

// What products.inl computes with. The compilers' intrinsics are not used: those of g++ 12 do not
// say that they read memory, and stores could be moved behind them.
struct ProcessorTiles {
  static void configure(const TileConfig& config) { asm volatile("ldtilecfg %0" : : "m"(config)); }
  static void release() { asm volatile("tilerelease"); }

  template <int Tile>
  static void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(Tile));
  }
  // Rows are `stride` bytes apart.
  template <int Tile>
  static void load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(Tile) : "memory");
  }
  template <int Tile>
  static void store(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(Tile) : "memory");
  }
  // sums [rows][16] += left [rows][pairs][2] times right [pairs][16][2], of bfloat16.
  template <int Sums, int Left, int Right>
  static void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sums), "i"(Left), "i"(Right));
  }
};

}  // namespace strake::cpu::amx
