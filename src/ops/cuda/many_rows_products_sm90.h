// Multiplies what is in the stages of many_rows_kernel_sm90.h.
#pragma once

#include "ops/cuda/many_rows_block_sm90.h"
#include "ops/cuda/wgmma_sm90.h"

namespace strake::cuda {

// A k tile's products are four steps: each is decoded while those of the three steps before it
// run, and takes the registers of the one four steps before.
template <class Fragment, int kTokens>
struct ManyRowsProducts {
  using Shape = ManyRowsShape<Fragment, kTokens>;
  static constexpr int kRegisters = Shape::kRegisters;
  static constexpr int kSets = Shape::kPairs ? 2 : 1;

  const ManyRowsBlock<Fragment, kTokens>& k;
  float sums[kSets][kRegisters];
  typename Fragment::Tile tile;
  uint32_t a[kLaneRegisters] = {};
  int left;        // tiles to be prepared
  uint32_t empty;  // of the first stage, where this lane says so
  int stage = 0;
  uint32_t phase = 0;
  bool is_unreleased = false;  // the stage before

  __device__ ManyRowsProducts(const ManyRowsBlock<Fragment, kTokens>& block) : k(block) {
    const TileWalk walk(k.p);
    left = walk.more() ? (walk.end - walk.tile + walk.step - 1) / walk.step * k.piece_tiles() : 0;
    const int first = k.p.in_memory ? 0 : k.piece * k.p.share_x;
    empty = address_in_block(k.empty(0), first + k.lane % k.p.share_x);
    prepare();
  }

  // The warp's products keep its lanes together: all have read. (A barrier would serialize them.)
  __device__ void release_previous() {
    const int previous = (stage == 0 ? k.stages() : stage) - 1;
    if (is_unreleased && k.lane < k.p.share_x) barrier_arrive_at(empty + 16 * previous);
    is_unreleased = false;
  }
  // Decodes the next tile's first step, while the last products of the one before run.
  __device__ void prepare() {
    if (left == 0) return;
    --left;
    barrier_wait(k.full(stage), phase);
    Fragment::load_slot(k.weights, k.memory + k.slot(stage, k.warp), k.lane, tile);
    wgmma_wait<3>();
    Fragment::template decode<0>(tile, a);
  }
  template <int kSet, int kStep, bool kBegins>
  __device__ void multiply_step(uint64_t rows) {
    using Product = Wgmma<kTokens, typename Fragment::Half>;
    if constexpr (kStep > 0) {
      wgmma_wait<3>();
      // The last step of the tile before is finished.
      if constexpr (kStep == 3) release_previous();
      Fragment::template decode<kStep>(tile, a);
    }
    wgmma_fence();
    if constexpr (kBegins && kStep == 0)
      Product::begin(sums[kSet], a, rows);
    else
      Product::add(sums[kSet], a + 4 * kStep, rows + 2 * kStep);
    wgmma_commit();
  }
  template <int kSet, bool kBegins>
  __device__ void multiply() {
    const uint64_t rows = swizzled_rows(k.shared + stage * Shape::kActivationBytes);
    multiply_step<kSet, 0, kBegins>(rows);
    multiply_step<kSet, 1, kBegins>(rows);
    multiply_step<kSet, 2, kBegins>(rows);
    multiply_step<kSet, 3, kBegins>(rows);
    is_unreleased = true;
    if (++stage == k.stages()) {
      stage = 0;
      phase ^= 1;
    }
    prepare();
  }
  // Starts what makes sums[kSet] the next `tiles` tiles'.
  template <int kSet>
  __device__ void sum(int tiles) {
    multiply<kSet, true>();
#pragma unroll 1
    for (int index = 1; index < tiles; ++index) multiply<kSet, false>();
  }
  // Waits for all that was started.
  __device__ void finish() {
    wgmma_wait<0>();
#pragma unroll
    for (auto& set : sums) pin(set);
    release_previous();
  }
  template <int kSet>
  __device__ void scale() {
    if constexpr (Fragment::kHasSumFactor) {
#pragma unroll
      for (float& value : sums[kSet]) value *= k.p.sum_factor;
    }
  }
  __device__ const float (&result() const)[kRegisters] { return sums[kSets - 1]; }
};

}  // namespace strake::cuda
