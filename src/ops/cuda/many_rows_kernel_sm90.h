// Products with many rows by wgmma: weights decoded into registers, activations through shared
// memory. One thread brings activations, eight warps multiply: each has a row tile of 16 outputs.
//
// A block makes 128 outputs x kTokens tokens at a time and takes tile after tile. In a cluster,
// `share_x` blocks have neighbouring outputs and bring a part of the activations each, for all of
// them; `pieces` blocks have the same outputs and a subtree of the sum each, which meet at the end.
#pragma once

#include "ops/cuda/async_sm90.h"
#include "ops/cuda/many_rows_parameters.h"
#include "ops/cuda/many_rows_shape_sm90.h"
#include "ops/cuda/weight_fragments.h"
#include "ops/cuda/wgmma_sm90.h"

namespace strake::cuda {

// The tiles that this block makes, in order.
struct TileWalk {
  const ManyRowsParameters& p;
  int tile;
  int step;
  int end;

  __device__ TileWalk(const ManyRowsParameters& parameters, int cluster_blocks)
      : p(parameters),
        tile(blockIdx.x / cluster_blocks),
        step(gridDim.x / cluster_blocks),
        end(p.tiles()) {}
  __device__ bool more() const { return tile < end; }
  __device__ void next() { tile += step; }
};

template <class Fragment, int kTokens>
struct ManyRowsKernel {
  using Shape = ManyRowsShape<Fragment, kTokens>;
  static constexpr int kRegisters = Shape::kRegisters;

  const ManyRowsParameters& p;
  const PackedPointers& weights;
  uint8_t* block;   // shared memory
  uint32_t shared;  // its address
  int lane;
  int warp;
  int share;  // which of the blocks that share activations
  int piece;

  __device__ uint32_t full(int stage) const { return shared + Shape::kBarriersAt + 8 * stage; }
  __device__ uint32_t empty(int stage) const { return full(stage) + 8 * Shape::kStages; }
  __device__ int cluster_blocks() const { return p.share_x * p.pieces; }
  __device__ int row_block(int row_group) const { return row_group * p.share_x + share; }

  __device__ void init_barriers() const {
    for (int stage = 0; stage < Shape::kStages; ++stage) {
      barrier_init(full(stage), 1);
      barrier_init(empty(stage), kProductWarps * p.share_x);
    }
    barrier_init_done();
  }

  // One thread.
  __device__ void bring_activations() const {
    const int rows = kTokens / p.share_x;
    const auto sharers = static_cast<uint16_t>(((1 << p.share_x) - 1) << (piece * p.share_x));
    int stage = 0;
    uint32_t phase = 0;
    for (TileWalk walk(p, cluster_blocks()); walk.more(); walk.next()) {
      const int row = p.place(walk.tile).token_block * kTokens + share * rows;
      for (int run = p.run_begin[piece]; run < p.run_begin[piece + 1]; ++run) {
        int column = p.runs[run].column;
        for (int left = p.runs[run].tiles; left > 0; --left) {
          barrier_wait(empty(stage), phase ^ 1);
          barrier_arrive_expect(full(stage), Shape::kStageBytes);
          const uint32_t to = shared + stage * Shape::kStageBytes + share * rows * kTileInputs * 2;
          if (p.share_x > 1)
            copy_box(p.x, to, full(stage), column, row, sharers);
          else
            copy_box(p.x, to, full(stage), column, row);
          column += kTileInputs;
          if (++stage == Shape::kStages) {
            stage = 0;
            phase ^= 1;
          }
        }
      }
    }
  }

  // This warp's weights, tile by tile, through the slots that each lane fills and reads alone.
  struct WeightStream {
    static constexpr int kAhead = 8;  // tiles that are brought to the L2 cache before they are due

    const ManyRowsKernel& k;
    TileWalk walk;
    uint32_t tile = 0;  // to be fetched next, counted over all rows
    int left = 0;       // of this row
    int fetch_slot = 0;
    int slot = 0;  // to be decoded next

    __device__ WeightStream(const ManyRowsKernel& kernel)
        : k(kernel), walk(kernel.p, kernel.cluster_blocks()) {
      begin_row();
#pragma unroll 1
      for (int i = 0; i < slots() - 1; ++i) fetch();
    }
    __device__ bool deep() const { return Shape::deep(k.p.levels); }
    __device__ int slots() const { return deep() ? Shape::kSlots : Shape::kShallow; }
    __device__ uint8_t* at(int of) const {
      return k.block + Shape::kRingAt + of * Shape::kSlotBytes + k.warp * Fragment::kSlotBytes;
    }
    __device__ void begin_row() {
      if (!walk.more()) return;
      const int row_tile = min(k.row_block(k.p.place(walk.tile).row_group) * kProductWarps + k.warp,
                               k.p.row_tiles - 1);
      tile = static_cast<uint32_t>(row_tile) * k.p.row_k_tiles + k.p.piece_tile[k.piece];
      left = k.p.piece_tile[k.piece + 1] - k.p.piece_tile[k.piece];
    }
    // A group of copies, empty after the last tile.
    __device__ void fetch() {
      if (walk.more()) {
        Fragment::copy(k.weights, tile, k.lane, at(fetch_slot));
        // A shallow ring alone would wait for memory.
        if (Shape::kTwoDepths && !deep() && k.lane == 0 && left > kAhead)
          prefetch(k.weights.codes + int64_t{tile + kAhead} * Fragment::kTileBytes,
                   Fragment::kTileBytes);
        ++tile;
        if (--left == 0) {
          walk.next();
          begin_row();
        }
      }
      asm volatile("cp.async.commit_group;" ::: "memory");
      if (++fetch_slot == slots()) fetch_slot = 0;
    }
    // This lane's part of the next tile.
    __device__ void next(typename Fragment::Tile& to) {
      if (deep())
        asm volatile("cp.async.wait_group %0;" ::"n"(Shape::kSlots - 2) : "memory");
      else
        asm volatile("cp.async.wait_group %0;" ::"n"(Shape::kShallow - 2) : "memory");
      Fragment::load_slot(k.weights, at(slot), k.lane, to);
      if (++slot == slots()) slot = 0;
      fetch();
    }
  };

  // A k tile's products are four steps: each is decoded while those of the three steps before it
  // run, and takes the registers of the one four steps before.
  struct Products {
    const ManyRowsKernel& k;
    WeightStream stream;
    float sums[kRegisters];
    typename Fragment::Tile tile;
    uint32_t a[kLaneRegisters] = {};
    int stage = 0;
    uint32_t phase = 0;

    __device__ Products(const ManyRowsKernel& kernel) : k(kernel), stream(kernel) {
      if (Shape::kDecodesAhead) prepare();
    }

    __device__ void release(int of) const {
      if (k.lane < k.p.share_x) barrier_arrive_at(k.empty(of), k.piece * k.p.share_x + k.lane);
    }
    __device__ int previous_stage() const { return stage == 0 ? Shape::kStages - 1 : stage - 1; }

    // Decodes the next tile's first step; ahead: before a sum ends, whose products still run then.
    __device__ void prepare() {
      stream.next(tile);
      wgmma_wait<3>();
      Fragment::template decode<0>(tile, a);
    }
    template <int kStep>
    __device__ void multiply_step(uint64_t rows, int index) {
      if constexpr (kStep > 0) {
        wgmma_wait<3>();
        // The last step of the tile before is finished.
        if (kStep == 3 && index > 0) release(previous_stage());
        Fragment::template decode<kStep>(tile, a);
      }
      wgmma_fence();
      Wgmma<kTokens, typename Fragment::Half>::run(sums, a + 4 * kStep, rows + 2 * kStep,
                                                   kStep == 0 ? index : 1);
      wgmma_commit();
    }
    __device__ void multiply(int index) {
      if (!Shape::kDecodesAhead) prepare();
      barrier_wait(k.full(stage), phase);
      const uint64_t rows = swizzled_rows(k.shared + stage * Shape::kStageBytes);
      multiply_step<0>(rows, index);
      multiply_step<1>(rows, index);
      multiply_step<2>(rows, index);
      multiply_step<3>(rows, index);
      if (Shape::kDecodesAhead) prepare();
      if (++stage == Shape::kStages) {
        stage = 0;
        phase ^= 1;
      }
    }

    // sums = the next `tiles` tiles'.
    __device__ void sum(int tiles) {
#pragma unroll 1
      for (int index = 0; index < tiles; ++index) multiply(index);
      wgmma_wait<0>();
      pin(sums);
      release(previous_stage());
      if constexpr (Fragment::kHasSumFactor) {
#pragma unroll
        for (int i = 0; i < kRegisters; ++i) sums[i] *= k.p.sum_factor;
      }
    }
  };

  // Sums in shared memory, each thread's own.
  __device__ float4* level(int index) const {
    return reinterpret_cast<float4*>(block + Shape::levels_at(p.levels) +
                                     index * Shape::kLevelBytes) +
           threadIdx.x;
  }
  __device__ static void store(float4* to, const float (&from)[kRegisters]) {
#pragma unroll
    for (int i = 0; i < kRegisters / 4; ++i)
      to[i * kProductThreads] =
          make_float4(from[4 * i], from[4 * i + 1], from[4 * i + 2], from[4 * i + 3]);
  }
  __device__ static void add(float (&to)[kRegisters], const float4* from) {
#pragma unroll
    for (int i = 0; i < kRegisters / 4; ++i) {
      const float4 left = from[i * kProductThreads];
      to[4 * i] = left.x + to[4 * i];
      to[4 * i + 1] = left.y + to[4 * i + 1];
      to[4 * i + 2] = left.z + to[4 * i + 2];
      to[4 * i + 3] = left.w + to[4 * i + 3];
    }
  }

  // This block's piece of one tile: leaf after leaf, combined as the tree has it.
  __device__ void sum_tree(Products& products) const {
    const int first = p.sum_begin[piece];
    const int last = p.sum_begin[piece + 1] - 1;
    float(&sums)[kRegisters] = products.sums;
    if constexpr (Shape::kOneSum) {
      products.sum(p.sums[first].tiles);
    } else if constexpr (Shape::kTopInRegisters) {
      float top[kRegisters];
#pragma unroll
      for (int i = 0; i < kRegisters; ++i) top[i] = 0.0f;
      int height = 0;  // of what lies below the top
      for (int index = first; index <= last; ++index) {
        products.sum(p.sums[index].tiles);
        int merges = p.sums[index].merges;
        if (merges > 0) {
#pragma unroll
          for (int i = 0; i < kRegisters; ++i) sums[i] = top[i] + sums[i];
          while (--merges > 0) add(sums, level(--height));
        } else if (index > first) {
          store(level(height++), top);
        }
        copy_sums(top, sums);
      }
    } else {
      int height = 0;
      for (int index = first; index <= last; ++index) {
        products.sum(p.sums[index].tiles);
        for (int merges = p.sums[index].merges; merges > 0; --merges) add(sums, level(--height));
        if (index < last) store(level(height++), sums);
      }
    }
  }

  // Registers 4 i .. 4 i + 3 of a thread's sums to where they belong.
  __device__ void write(ManyRowsParameters::Place place, int i, float4 sums) const {
    const int row = row_block(place.row_group) * kBlockOutputs + 16 * warp + lane / 4;
    const int token = place.token_block * kTokens + 8 * i + 2 * (lane % 4);
    float* const at = p.out + static_cast<int64_t>(token) * p.outputs + row;
    const bool first = row < p.outputs;
    const bool second = row + 8 < p.outputs;
    if (token < p.tokens) {
      if (first) at[0] = sums.x;
      if (second) at[8] = sums.z;
    }
    if (token + 1 < p.tokens) {
      if (first) at[p.outputs] = sums.y;
      if (second) at[p.outputs + 8] = sums.w;
    }
  }

  __device__ void multiply() const {
    Products products(*this);
    for (TileWalk walk(p, cluster_blocks()); walk.more(); walk.next()) {
      sum_tree(products);
      if (p.pieces > 1) {
        // The stages are read for the last time: a cluster in pieces makes one tile.
        asm volatile("bar.sync 1, %0;" ::"n"(kProductThreads) : "memory");
        store(reinterpret_cast<float4*>(block) + threadIdx.x, products.sums);
      } else {
        const ManyRowsParameters::Place place = p.place(walk.tile);
#pragma unroll
        for (int i = 0; i < kRegisters / 4; ++i)
          write(place, i,
                make_float4(products.sums[4 * i], products.sums[4 * i + 1],
                            products.sums[4 * i + 2], products.sums[4 * i + 3]));
      }
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
  }

  // Each block adds up a part of the tile: the pieces are all nodes of one depth of a tree, or
  // equally many parts of a chain each.
  __device__ void combine() const {
    const ManyRowsParameters::Place place = p.place(blockIdx.x / cluster_blocks());
    for (int i = piece; i < kRegisters / 4; i += p.pieces) {
      const uint32_t from = shared + (i * kProductThreads + threadIdx.x) * 16;
      float4 sums[kMaxPieces] = {};
#pragma unroll
      for (int of = 0; of < kMaxPieces; ++of)
        if (of < p.pieces) sums[of] = load_from_block(from, of * p.share_x + share);
#pragma unroll
      for (int width = 1; width < kMaxPieces; width *= 2) {
#pragma unroll
        for (int of = 0; of < kMaxPieces; of += 2 * width) {
          if (of + width >= p.pieces) continue;
          sums[of].x += sums[of + width].x;
          sums[of].y += sums[of + width].y;
          sums[of].z += sums[of + width].z;
          sums[of].w += sums[of + width].w;
        }
      }
      write(place, i, sums[0]);
    }
  }

  // No block of a cluster may go while others copy into it or read from it.
  template <class Combine>
  __device__ void leave(Combine&& combine_pieces) const {
    if (cluster_blocks() == 1) return;
    cluster_sync();
    if (p.pieces == 1) return;
    combine_pieces();
    __syncwarp();
    cluster_sync();
  }
};

template <class Fragment, int kTokens>
__global__ void __launch_bounds__(kManyRowsThreads, ManyRowsRegisters<kTokens>::kBlocks)
    many_rows_kernel(const __grid_constant__ ManyRowsParameters p,
                     const __grid_constant__ PackedPointers weights) {
  using Registers = ManyRowsRegisters<kTokens>;
  extern __shared__ __align__(1024) uint8_t block[];
  const int rank = p.share_x * p.pieces > 1 ? static_cast<int>(cluster_rank()) : 0;
  const ManyRowsKernel<Fragment, kTokens> kernel{
      p,
      weights,
      block,
      shared_address(block),
      static_cast<int>(threadIdx.x % 32),
      __shfl_sync(0xffffffff, static_cast<int>(threadIdx.x / 32), 0),
      rank % p.share_x,
      rank / p.share_x};
  if (threadIdx.x == 0) kernel.init_barriers();
  __syncthreads();
  if (kernel.cluster_blocks() > 1) cluster_sync();
  if (kernel.warp >= kProductWarps) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers::kBring));
    if (kernel.warp == kProductWarps && kernel.lane == 0) kernel.bring_activations();
    __syncwarp();
    kernel.leave([] {});
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers::kMultiply));
    kernel.multiply();
    __syncwarp();
    kernel.leave([&] { kernel.combine(); });
  }
}

}  // namespace strake::cuda
