// Products with many rows by wgmma: weights decoded into registers, activations from shared memory.
// Four warps bring both there, eight multiply: each has a row tile of 16 outputs.
//
// A block makes 128 outputs x kTokens tokens at a time and takes tile after tile. In a cluster,
// `share_x` blocks have neighbouring outputs and bring a part of the activations each, for all of
// them; `pieces` blocks have the same outputs and a subtree of the sum each, which meet at the end.
// They may also meet in memory: clusters do not lie on all multiprocessors at once.
#pragma once

#include "ops/cuda/many_rows_bringer_sm90.h"
#include "ops/cuda/many_rows_products_sm90.h"
#include "ops/cuda/many_rows_result.h"

namespace strake::cuda {

template <class Fragment, int kTokens>
struct ManyRowsKernel : ManyRowsBlock<Fragment, kTokens> {
  using Block = ManyRowsBlock<Fragment, kTokens>;
  using Products = ManyRowsProducts<Fragment, kTokens>;
  using Shape = ManyRowsShape<Fragment, kTokens>;
  static constexpr int kRegisters = Shape::kRegisters;
  using Block::lane, Block::memory, Block::p, Block::piece, Block::share, Block::shared,
      Block::warp;
  using Block::row_block, Block::stages;

  // Sums that wait, each thread's own.
  __device__ float4* level(int index) const {
    uint8_t* at = memory + Shape::levels_at(stages()) + index * Shape::kLevelBytes;
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

  // Threads that multiply.
  __device__ static void sync_products() {
    asm volatile("bar.sync 1, %0;" ::"n"(kProductThreads) : "memory");
  }
  // A thread's part of a piece that this tile is to be combined from.
  __device__ float4* piece_in_memory(int of) const {
    uint8_t* const at = reinterpret_cast<uint8_t*>(p.piece_sums);
    const int block = static_cast<int>(blockIdx.x) - piece + of;
    return reinterpret_cast<float4*>(at + int64_t{block} * Shape::kLevelBytes) + threadIdx.x;
  }
  __device__ float4* own_piece() const {
    return p.in_memory ? piece_in_memory(piece) : reinterpret_cast<float4*>(memory) + threadIdx.x;
  }

  // Registers 4 i .. 4 i + 3 of a thread's sums to where they belong.
  __device__ void write(ManyRowsParameters::Place place, int i, float4 sums) const {
    ManyRowsResult(p).write(row_block(place.row_group) * kBlockOutputs + 16 * warp,
                            place.token_block * kTokens + 8 * i, lane, sums);
  }

  __device__ void multiply() const {
    Products products(*this);
    for (TileWalk walk(p); walk.more(); walk.next()) {
      if constexpr (Shape::kPairs)
        sum_pairs(products);
      else
        sum_tree(products);
      const float(&sums)[kRegisters] = products.result();
      if (p.pieces > 1) {
        // The stages are read for the last time: blocks with pieces make one tile.
        sync_products();
        store(own_piece(), sums);
      } else {
        const ManyRowsParameters::Place place = p.place(walk.tile);
#pragma unroll
        for (int i = 0; i < kRegisters / 4; ++i)
          write(place, i,
                make_float4(sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]));
      }
    }
  }

  // Vectors first, first + step and so on of the tile from those of its pieces, load(vector,
  // piece), kBatch of them at a time: the pieces are all nodes of one depth of a tree, or equally
  // many parts of a chain each.
  template <int kBatch, class Load>
  __device__ void combine(int first, int step, const Load& load) const {
    const ManyRowsParameters::Place place = p.place(blockIdx.x / p.tile_blocks());
#pragma unroll 1
    for (int begin = first; begin < kRegisters / 4; begin += kBatch * step) {
      float4 sums[kBatch][kMaxPieces] = {};
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
#pragma unroll
        for (int of = 0; of < kMaxPieces; ++of)
          if (of < p.pieces) sums[i][of] = load(begin + i * step, of);
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) write(place, begin + i * step, sum_of_pieces(sums[i]));
    }
  }
  __device__ float4 sum_of_pieces(float4 (&sums)[kMaxPieces]) const {
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
    return sums[0];
  }
  // Each block of a cluster adds up a part of the tile.
  __device__ void combine_in_cluster() const {
    combine<1>(piece, p.pieces, [&](int vector, int of) {
      return load_from_block(shared + (vector * kProductThreads + threadIdx.x) * 16,
                             of * p.share_x + share);
    });
  }
  // The last block that brings its piece adds up the tile.
  __device__ void combine_in_memory() const {
    if (!is_last_piece()) return;
    constexpr int kBatch = kTokens <= 64 ? 2 : 4;  // what registers have room for
    static_assert(kRegisters / 4 % kBatch == 0);
    combine<kBatch>(0, 1, [&](int vector, int of) {
      return __ldcg(piece_in_memory(of) + vector * kProductThreads);
    });
  }
  // What the others wrote before is then there to be read.
  __device__ bool is_last_piece() const {
    auto* const is_last = reinterpret_cast<bool*>(memory);
    __threadfence();
    sync_products();
    if (threadIdx.x == 0) {
      unsigned* const arrivals = p.arrivals + blockIdx.x / p.tile_blocks();
      *is_last = atomicAdd(arrivals, 1u) == static_cast<unsigned>(p.pieces) - 1;
      if (*is_last) *arrivals = 0;
    }
    sync_products();
    if (*is_last) __threadfence();
    return *is_last;
  }

  // No block of a cluster may go while others copy into it or read from it.
  template <class Combine>
  __device__ void leave(Combine&& combine_pieces) const {
    if (p.cluster_blocks() == 1) return;
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
  // Blocks of a cluster are neighbours in the grid.
  const int rank = static_cast<int>(blockIdx.x) % p.tile_blocks();
  const ManyRowsKernel<Fragment, kTokens> kernel{
      {p, weights, block, shared_address(block), static_cast<int>(threadIdx.x % 32),
       __shfl_sync(0xffffffff, static_cast<int>(threadIdx.x / 32), 0), rank % p.share_x,
       rank / p.share_x}};
  // A successor that shares x waits for none of this kernel's results: it starts where blocks end.
  if (p.leads) let_successor_start();
  if (threadIdx.x == 0) kernel.init_barriers();
  __syncthreads();
  if (p.cluster_blocks() > 1) cluster_sync();
  if (kernel.warp >= kProductWarps) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers::kBring));
    ManyRowsBringer<Fragment, kTokens>(kernel).run();
    __syncwarp();
    kernel.leave([] {});
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers::kMultiply));
    kernel.multiply();
    __syncwarp();
    kernel.leave([&] { kernel.combine_in_cluster(); });
    if (p.in_memory) kernel.combine_in_memory();
  }
  // Who waits for this kernel waits for the one before it, too.
  if (p.follows && threadIdx.x == 0) wait_for_predecessor();
}

}  // namespace strake::cuda
