// Products with many rows by wgmma: weights decoded into registers, activations from shared memory.
// Four warps bring both there, eight multiply: each has a row tile of 16 outputs.
//
// A block makes 128 outputs x kTokens tokens at a time and takes tile after tile. In a cluster,
// `share_x` blocks have neighbouring outputs and bring a part of the activations each, for all of
// them; `pieces` blocks have the same outputs and a subtree of the sum each, which meet at the end.
#pragma once

#include "ops/cuda/async_sm90.h"
#include "ops/cuda/many_rows_parameters.h"
#include "ops/cuda/many_rows_result.h"
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

  __device__ int stages() const { return Shape::stages(p.levels); }
  __device__ uint32_t full(int stage) const {
    return shared + Shape::barriers_at(stages()) + 16 * stage;
  }
  __device__ uint32_t empty(int stage) const { return full(stage) + 8; }
  __device__ int slot(int stage, int of_warp) const {
    return Shape::weights_at(stages()) + stage * Shape::kWeightBytes +
           of_warp * Fragment::kSlotBytes;
  }
  __device__ int cluster_blocks() const { return p.share_x * p.pieces; }
  __device__ int row_block(int row_group) const { return row_group * p.share_x + share; }

  __device__ void init_barriers() const {
    for (int stage = 0; stage < stages(); ++stage) {
      barrier_init(full(stage), 1 + kLanes);
      barrier_init(empty(stage), kProductWarps * p.share_x);
    }
    barrier_init_done();
  }

  __device__ int piece_tiles() const { return p.piece_tile[piece + 1] - p.piece_tile[piece]; }

  // Four warps fill stages in turn, so that each has the time of four tiles for one. No more than
  // there are stages: a barrier's phase does not tell those that are two apart.
  struct Bringer {
    const ManyRowsKernel& k;
    uint32_t tile[kProductWarps];  // of each row tile's packed row, where this piece begins
    uint32_t scales_tile[2];       // of the row tiles of which this lane brings scales
    int turns;                     // warps that take part
    int next;                      // tiles until this warp's own
    int stage = 0;
    uint32_t phase = 0;

    __device__ Bringer(const ManyRowsKernel& kernel)
        : k(kernel), turns(min(kBringWarps, kernel.stages())), next(kernel.warp - kProductWarps) {}

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
  };
  __device__ void bring() const {
    Bringer bringer(*this);
    if (warp - kProductWarps >= bringer.turns) return;
    for (TileWalk walk(p, cluster_blocks()); walk.more(); walk.next()) {
      const ManyRowsParameters::Place place = p.place(walk.tile);
      bringer.begin_row(place.row_group);
      int index = 0;
      for (int run = p.run_begin[piece]; run < p.run_begin[piece + 1]; ++run) {
        int column = p.runs[run].column;
        for (int left = p.runs[run].tiles; left > 0; --left) {
          bringer.bring(index++, column, place.token_block * kTokens);
          column += kTileInputs;
        }
      }
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
  }

  // A k tile's products are four steps: each is decoded while those of the three steps before it
  // run, and takes the registers of the one four steps before.
  struct Products {
    static constexpr int kSets = Shape::kPairs ? 2 : 1;

    const ManyRowsKernel& k;
    float sums[kSets][kRegisters];
    typename Fragment::Tile tile;
    uint32_t a[kLaneRegisters] = {};
    int left;        // tiles to be prepared
    uint32_t empty;  // of the first stage, where this lane says so
    int stage = 0;
    uint32_t phase = 0;
    bool is_unreleased = false;  // the stage before

    __device__ Products(const ManyRowsKernel& kernel) : k(kernel) {
      const TileWalk walk(k.p, k.cluster_blocks());
      left = walk.more() ? (walk.end - walk.tile + walk.step - 1) / walk.step * k.piece_tiles() : 0;
      empty = address_in_block(k.empty(0), k.piece * k.p.share_x + k.lane % k.p.share_x);
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
      Fragment::load_slot(k.weights, k.block + k.slot(stage, k.warp), k.lane, tile);
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

  // Sums that wait, each thread's own.
  __device__ float4* level(int index) const {
    uint8_t* at = block + Shape::levels_at(stages()) + index * Shape::kLevelBytes;
    if (Shape::kPairs && index >= p.levels)
      at = reinterpret_cast<uint8_t*>(p.deeper) +
           (int64_t{blockIdx.x} * p.deeper_levels + index - p.levels) * Shape::kLevelBytes;
    return reinterpret_cast<float4*>(at) + threadIdx.x;
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
    const int last = p.sum_begin[piece + 1] - 1;
    float(&sums)[kRegisters] = products.sums[0];
    int height = 0;
    for (int index = p.sum_begin[piece]; index <= last; ++index) {
      products.template sum<0>(p.sums[index].tiles);
      products.finish();
      products.template scale<0>();
      if constexpr (!Shape::kOneSum) {
        for (int merges = p.sums[index].merges; merges > 0; --merges) add(sums, level(--height));
        if (index < last) store(level(height++), sums);
      }
    }
  }
  // The same with two sums in registers: where two leaves are a node's, the second one's products
  // follow the first one's without a pause.
  __device__ void sum_pairs(Products& products) const {
    const int last = p.sum_begin[piece + 1] - 1;
    float(&sums)[kRegisters] = products.sums[1];
    int height = 0;
    for (int index = p.sum_begin[piece]; index <= last; ++index) {
      const bool is_pair =
          index < last && p.sums[index].merges == 0 && p.sums[index + 1].merges > 0;
      if (is_pair) products.template sum<0>(p.sums[index++].tiles);
      products.template sum<1>(p.sums[index].tiles);
      products.finish();
      products.template scale<1>();
      int merges = p.sums[index].merges;
      if (is_pair) {
        products.template scale<0>();
#pragma unroll
        for (int i = 0; i < kRegisters; ++i) sums[i] = products.sums[0][i] + sums[i];
        --merges;
      }
      for (; merges > 0; --merges) add(sums, level(--height));
      if (index < last) store(level(height++), sums);
    }
  }

  // Registers 4 i .. 4 i + 3 of a thread's sums to where they belong.
  __device__ void write(ManyRowsParameters::Place place, int i, float4 sums) const {
    ManyRowsResult(p).write(row_block(place.row_group) * kBlockOutputs + 16 * warp,
                            place.token_block * kTokens + 8 * i, lane, sums);
  }

  __device__ void multiply() const {
    Products products(*this);
    for (TileWalk walk(p, cluster_blocks()); walk.more(); walk.next()) {
      if constexpr (Shape::kPairs)
        sum_pairs(products);
      else
        sum_tree(products);
      const float(&sums)[kRegisters] = products.result();
      if (p.pieces > 1) {
        // The stages are read for the last time: a cluster in pieces makes one tile.
        asm volatile("bar.sync 1, %0;" ::"n"(kProductThreads) : "memory");
        store(reinterpret_cast<float4*>(block) + threadIdx.x, sums);
      } else {
        const ManyRowsParameters::Place place = p.place(walk.tile);
#pragma unroll
        for (int i = 0; i < kRegisters / 4; ++i)
          write(place, i,
                make_float4(sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]));
      }
    }
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
  // A successor that shares x waits for none of this kernel's results: it starts where blocks end.
  if (p.leads) let_successor_start();
  if (threadIdx.x == 0) kernel.init_barriers();
  __syncthreads();
  if (kernel.cluster_blocks() > 1) cluster_sync();
  if (kernel.warp >= kProductWarps) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers::kBring));
    kernel.bring();
    __syncwarp();
    kernel.leave([] {});
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers::kMultiply));
    kernel.multiply();
    __syncwarp();
    kernel.leave([&] { kernel.combine(); });
  }
  // Who waits for this kernel waits for the one before it, too.
  if (p.follows && threadIdx.x == 0) wait_for_predecessor();
}

}  // namespace strake::cuda
