#include "ops/emulated_tiles.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "ops/cpu/amx/kernels.h"
#include "ops/cpu/bf16/kernels.h"
#include "quant/codecs.h"
#include "strake/base/half.h"

namespace strake::cpu {
namespace {

struct Registers {
  TileConfig config;
  std::array<std::array<std::array<uint32_t, 16>, 16>, 8> tiles;  // [tile][row][lane]
};

Registers& registers() {
  thread_local Registers registers;
  return registers;
}

void require(bool legal) {
  if (!legal) throw std::logic_error("a tile instruction that the processor refuses");
}

void require_configured(int tile) { require(registers().config.rows[tile] > 0); }

// Subnormal numbers are zeros, before and after every operation.
float flushed(float x) { return std::abs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }

float operand(uint32_t pair, int odd) {
  return flushed(std::bit_cast<float>(odd == 0 ? pair << 16 : pair & 0xffff0000u));
}

}  // namespace

void EmulatedTiles::configure(const TileConfig& config) { registers() = {config, {}}; }

void EmulatedTiles::zero(int tile) {
  require_configured(tile);
  registers().tiles[static_cast<size_t>(tile)] = {};
}

void EmulatedTiles::load(int tile, const void* from, int64_t stride) {
  zero(tile);
  const TileConfig& config = registers().config;
  for (size_t row = 0; row < config.rows[tile]; ++row)
    std::memcpy(registers().tiles[static_cast<size_t>(tile)][row].data(),
                static_cast<const std::byte*>(from) + static_cast<int64_t>(row) * stride,
                config.row_bytes[tile]);
}

void EmulatedTiles::store(int tile, void* to, int64_t stride) {
  require_configured(tile);
  const TileConfig& config = registers().config;
  for (size_t row = 0; row < config.rows[tile]; ++row)
    std::memcpy(static_cast<std::byte*>(to) + static_cast<int64_t>(row) * stride,
                registers().tiles[static_cast<size_t>(tile)][row].data(), config.row_bytes[tile]);
}

// TDPBF16PS in the words of Intel's SDM: even and odd inputs are summed apart, each product fused
// with its sum; then both are added, and then to what was there.
void EmulatedTiles::multiply(int sums, int left, int right) {
  const TileConfig& config = registers().config;
  const size_t rows = config.rows[sums];
  const size_t pairs = config.rows[right];
  const size_t lanes = config.row_bytes[sums] / 4;
  require(rows > 0 && pairs > 0 && rows == config.rows[left] &&
          config.row_bytes[left] == pairs * 4 && config.row_bytes[right] == lanes * 4);
  auto& tiles = registers().tiles;
  auto& c = tiles[static_cast<size_t>(sums)];
  const auto &a = tiles[static_cast<size_t>(left)], &b = tiles[static_cast<size_t>(right)];
  for (size_t m = 0; m < rows; ++m)
    for (size_t n = 0; n < lanes; ++n) {
      float sum[2] = {};
      for (size_t k = 0; k < pairs; ++k)
        for (int odd = 0; odd < 2; ++odd)
          sum[odd] = flushed(std::fma(operand(a[m][k], odd), operand(b[k][n], odd), sum[odd]));
      const float both = flushed(sum[0] + sum[1]);
      c[m][n] = std::bit_cast<uint32_t>(flushed(flushed(std::bit_cast<float>(c[m][n])) + both));
    }
}

}  // namespace strake::cpu

#if defined(__x86_64__)
#include "ops/cpu/bf16/target.inl"

namespace strake::cpu {
namespace bf16 {
namespace {

#include "ops/cpu/bf16/products.inl"

}  // namespace
}  // namespace bf16

namespace amx {
namespace {

// clang-format off
#include "ops/cpu/amx/one_row.inl"
#include "ops/cpu/amx/products.inl"
// clang-format on

}  // namespace
}  // namespace amx

const ProductKernels& emulated_amx_kernels() { return amx::kernels<EmulatedTiles>(); }

}  // namespace strake::cpu

#include "ops/cpu/bf16/target_end.inl"
#endif
