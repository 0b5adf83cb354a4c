// A block of the kernel of many_rows_kernel_sm90.h: its way through the result, and its stages.
#pragma once

#include "ops/cuda/async_sm90.h"
#include "ops/cuda/many_rows_parameters.h"
#include "ops/cuda/many_rows_shape_sm90.h"
#include "ops/cuda/weight_fragments.h"

namespace strake::cuda {

// The tiles that this block makes, in order.
struct TileWalk {
  const ManyRowsParameters& p;
  int tile;
  int step;
  int end;

  __device__ explicit TileWalk(const ManyRowsParameters& parameters)
      : p(parameters),
        tile(blockIdx.x / p.tile_blocks()),
        step(gridDim.x / p.tile_blocks()),
        end(p.tiles()) {}
  __device__ bool more() const { return tile < end; }
  __device__ void next() { tile += step; }
};

// What all threads of a block know: where it is among those of its tile, and how its shared memory
// is divided.
template <class Fragment, int kTokens>
struct ManyRowsBlock {
  using Shape = ManyRowsShape<Fragment, kTokens>;

  const ManyRowsParameters& p;
  const PackedPointers& weights;
  uint8_t* memory;  // shared
  uint32_t shared;  // its address
  int lane;
  int warp;
  int share;  // which of the blocks that share activations
  int piece;

  __device__ int stages() const { return Shape::stages(p.levels); }
  __device__ uint32_t full(int stage) const {
    return shared + Shape::barriers_at(stages()) + 16 * stage;
  }
  __device__ uint32_t empty(int stage) const { return full(stage) + 8; }
  __device__ int slot(int stage, int of_warp) const {
    return Shape::weights_at(stages()) + stage * Shape::kWeightBytes +
           of_warp * Fragment::kSlotBytes;
  }
  __device__ int row_block(int row_group) const { return row_group * p.share_x + share; }

  __device__ void init_barriers() const {
    for (int stage = 0; stage < stages(); ++stage) {
      barrier_init(full(stage), 1 + kLanes);
      barrier_init(empty(stage), kProductWarps * p.share_x);
    }
    barrier_init_done();
  }

  __device__ int piece_tiles() const { return p.piece_tile[piece + 1] - p.piece_tile[piece]; }
};

}  // namespace strake::cuda
