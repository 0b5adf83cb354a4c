// Products of blocks of 16 weight rows with tiles of activation rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/cpu/block_layout.h"
#include "ops/cpu/path.h"
#include "ops/cpu/sum_schedule.h"
#include "strake/base/half.h"
#include "strake/tensor/tensor.h"

namespace strake::cpu {

// Kernels may read activations of so many inputs after the last, and sums of so many rows, and
// ignore them: three groups, and a tile.
inline constexpr int64_t kInputsBeyond = 3 * 128;

// Activation rows that a kernel multiplies with a block at once, run by run side by side.
struct Tile {
  int rows;
  const std::byte* x;  // [in / run][rows][run], of the kernels' type; the last may be part of a run
  const float* sums;   // [groups][rows]: sums over each group, where the kernels want them
  float* const* out;   // [rows]: where each row's result for output 0 goes
};

struct BlockProduct {
  const BlockLayout& layout;
  const SumSchedule& schedule;
  const std::byte* block;  // the first of
  int blocks;              // blocks, of which each begins
  int64_t stride;          // bytes after the one before
  int64_t first_output;
  int64_t outputs;      // rows of the blocks that are wanted: the last may have fewer than 16
  int64_t node_stride;  // floats from one node's results to the next node's
  std::span<const Tile> tiles;
  // For the kernel's own use, by this thread alone; 64-byte aligned, scratch_bytes() long.
  std::byte* scratch;
};

// The kernels of one path for one kind of activations.
struct ProductKernels {
  DType activations;                    // what Tile::x holds: kBF16 or kF32
  int run;                              // inputs of a row in one piece: 1 of kF32, 2 or 32 of kBF16
  int most_rows;                        // of a tile
  int most_tiles;                       // of a product
  int (*blocks_at_once)(int64_t rows);  // that multiply() is best called with
  size_t (*scratch_bytes)(const BlockLayout& layout, const SumSchedule& schedule, int64_t rows);
  void (*multiply)(const BlockProduct& product);
  // What a thread does before its first multiply() of tiles of up to `rows` rows, and after its
  // last, if anything.
  void (*begin)(const BlockLayout& layout, int64_t rows) = nullptr;
  void (*end)() = nullptr;
  // Whether multiply() needs Tile::sums for such a weight, and the sum of a group of activations
  // of the type that Tile::x holds.
  bool (*wants_sums)(const BlockLayout& layout);
  float (*sum_group)(const void* x, int64_t count);
  // What each of 32 inputs, over and over, is multiplied by in Tile::x, a power of two; null: 1.
  const float* (*input_factors)(const BlockLayout& layout);
};

// A thread's products happen within its turn.
class KernelTurn {
 public:
  KernelTurn(const ProductKernels& kernels, const BlockLayout& layout, int64_t rows)
      : kernels_(kernels) {
    if (kernels.begin != nullptr) kernels.begin(layout, rows);
  }
  KernelTurn(const KernelTurn&) = delete;
  KernelTurn& operator=(const KernelTurn&) = delete;
  ~KernelTurn() {
    if (kernels_.end != nullptr) kernels_.end();
  }

 private:
  const ProductKernels& kernels_;
};

// The path's kernels for activations like these: bfloat16 stays as it is where the path has
// dot products of it and the weight and tree are of pairs, all else is widened to float32.
const ProductKernels& product_kernels(Path path, const Tensor& x, const BlockLayout& layout,
                                      const SumSchedule& schedule);

// Values of lane `row` of a block -> out [in], as decode_value() has them.
void unpack_row(Path path, const BlockLayout& layout, const std::byte* block, int row, float* out);

// What each path's translation units hold.
struct FloatKernels {
  ProductKernels products;
  void (*unpack_row)(const BlockLayout& layout, const std::byte* block, int row, float* out);
};
const FloatKernels& portable_float_kernels();
const FloatKernels& avx2_float_kernels();
const FloatKernels& avx512_float_kernels();
const ProductKernels& avx2_kernels(const Tensor& x);
const ProductKernels& avx512_bf16_kernels();
const ProductKernels& amx_kernels();

}  // namespace strake::cpu
