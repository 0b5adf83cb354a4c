// Brings weights and activations to the stages of many_rows_kernel_sm90.h.
#pragma once

#include "ops/cuda/many_rows_block_sm90.h"

namespace strake::cuda {

// Four warps fill stages in turn, so that each has the time of four tiles for one. No more than
// there are stages: a barrier's phase does not tell those that are two apart.
template <class Fragment, int kTokens>
struct ManyRowsBringer {
  using Shape = ManyRowsShape<Fragment, kTokens>;

  const ManyRowsBlock<Fragment, kTokens>& k;
  uint32_t tile[kProductWarps];  // of each row tile's packed row, where this piece begins
  uint32_t scales_tile[2];       // of the row tiles of which this lane brings scales
  int turns;                     // warps that take part
  int next;                      // tiles until this warp's own
  int stage = 0;
  uint32_t phase = 0;

  __device__ ManyRowsBringer(const ManyRowsBlock<Fragment, kTokens>& block)
      : k(block), turns(min(kBringWarps, block.stages())), next(block.warp - kProductWarps) {}

  __device__ uint32_t first_tile(int row_group, int row_tile) const {
    const int row = min(k.row_block(row_group) * kProductWarps + row_tile, k.p.row_tiles - 1);
    return static_cast<uint32_t>(row) * k.p.row_k_tiles + k.p.piece_tile[k.piece];
  }
  __device__ void begin_row(int row_group) {
#pragma unroll
    for (int i = 0; i < kProductWarps; ++i) tile[i] = first_tile(row_group, i);
#pragma unroll
    for (int i = 0; i < 2; ++i) scales_tile[i] = first_tile(row_group, k.lane / 8 + 4 * i);
  }
  __device__ void bring_codes(uint32_t of, uint32_t to) const {
    const uint8_t* const codes = Fragment::codes_of(k.weights, of) + 16 * k.lane;
#pragma unroll
    for (int at = 0; at < Fragment::kTileBytes; at += 16 * kLanes)
      if (at + 16 * kLanes <= Fragment::kTileBytes || at + 16 * k.lane < Fragment::kTileBytes)
        copy_lane<16>(to + at + 16 * k.lane, codes + at);
  }
  // Eight lanes an eighth of a block each.
  __device__ void bring_scales(uint32_t of, uint32_t to) const {
    const int bytes = k.weights.scale_block_bytes / 8;
    const uint8_t* const from = Fragment::scales_of(k.weights, of) + k.lane % 8 * bytes;
    to += Fragment::kTileBytes + k.lane % 8 * bytes;
    switch (bytes) {
      case 4:
        if constexpr (Fragment::kScaleBytes <= 8) copy_lane<4>(to, from);
        break;
      case 8:
        if constexpr (Fragment::kScaleBytes >= 8) copy_lane<8>(to, from);
        break;
      case 32:
        if constexpr (Fragment::kScaleBytes == 32) copy_lane<16>(to + 16, from + 16);
        [[fallthrough]];
      default:
        if constexpr (Fragment::kScaleBytes >= 16) copy_lane<16>(to, from);
    }
  }
  __device__ void bring_activations(int column, int row) const {  // one thread
    const int own = k.share * (kTokens / k.p.share_x);
    const uint32_t to = k.shared + stage * Shape::kActivationBytes + own * kTileInputs * 2;
    barrier_arrive_expect(k.full(stage), Shape::kActivationBytes);
    if (k.p.share_x > 1) {
      const int sharers = ((1 << k.p.share_x) - 1) << (k.piece * k.p.share_x);
      copy_box(k.p.x, to, k.full(stage), column, row + own, static_cast<uint16_t>(sharers));
    } else {
      copy_box(k.p.x, to, k.full(stage), column, row + own);
    }
  }
  // Tile `index` of the piece, whose activations begin at (row, column).
  __device__ void bring(int index, int column, int row) {
    if (next-- == 0) {
      next = turns - 1;
      barrier_wait(k.empty(stage), phase ^ 1);
      if (k.lane == 0) bring_activations(column, row);
      const uint32_t to = k.shared + k.slot(stage, 0);
      if constexpr (Fragment::kScaleBytes > 0) {
#pragma unroll
        for (int i = 0; i < 2; ++i)
          bring_scales(scales_tile[i] + index, to + (k.lane / 8 + 4 * i) * Fragment::kSlotBytes);
      }
#pragma unroll
      for (int i = 0; i < kProductWarps; ++i)
        bring_codes(tile[i] + index, to + i * Fragment::kSlotBytes);
      barrier_arrive_after_copies(k.full(stage));
    }
    if (++stage < k.stages()) return;
    stage = 0;
    phase ^= 1;
  }
  // All tiles of this block.
  __device__ void run() {
    if (next >= turns) return;
    for (TileWalk walk(k.p); walk.more(); walk.next()) {
      const ManyRowsParameters::Place place = k.p.place(walk.tile);
      begin_row(place.row_group);
      int index = 0;
      for (int run = k.p.run_begin[k.piece]; run < k.p.run_begin[k.piece + 1]; ++run) {
        int column = k.p.runs[run].column;
        for (int left = k.p.runs[run].tiles; left > 0; --left) {
          bring(index++, column, place.token_block * kTokens);
          column += kTileInputs;
        }
      }
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
  }
};

}  // namespace strake::cuda
