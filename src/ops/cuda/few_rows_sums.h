// How a block of few_rows_block.h combines the sums of its units. For device code.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "ops/cuda/few_rows_kernel.h"
#include "ops/cuda/few_rows_work.h"

namespace strake::cuda {

// Sums of halves of the same activations to the first one's.
template <int kOctets>
__device__ __forceinline__ void join_halves(const FewRowsParameters& p, float (&sum)[kOctets][4]) {
  if (p.x_halves != 2) return;
#pragma unroll
  for (int octet = 1; octet < kOctets; ++octet)
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[0][i] += sum[octet][i];
}

// A unit's sums times `factor` to shared memory: [columns][16 rows]. There are so many columns.
template <int kOctets>
__device__ __forceinline__ void store_sums(const FewRowsParameters& p, int columns, float factor,
                                           const float (&sum)[kOctets][4], float* to) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
#pragma unroll
  for (int octet = 0; octet < kOctets; ++octet) {
    if (octet > 0 && p.x_halves == 2) continue;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = 8 * octet + 2 * (lane % 4) + i % 2;
      const int row = lane / 4 + i / 2 * 8;
      if (column < columns) to[column * kTileRows + row] = sum[octet][i] * factor;
    }
  }
}

// What a unit of a mixture has summed over its visits, in columns of tokens.
template <int kOctets>
struct MixedSums {
  float sum[kOctets][4] = {};

  // A visit's own, times `factor` and what its tokens multiply it with.
  __device__ __forceinline__ void add(const LaneTokens<kOctets>& tokens, float factor,
                                      const float (&of_visit)[kOctets][4]) {
#pragma unroll
    for (int octet = 0; octet < kOctets; ++octet)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float value =
            fmaf(of_visit[octet][i] * factor, tokens.factor[octet][i % 2], sum[octet][i]);
        if (tokens.there[octet][i % 2]) sum[octet][i] = value;
      }
  }
};

// Where an item's sums go.
struct SumTarget {
  int group;
  int matrix;
  int out_row;  // -1: nowhere
  int output;   // of all matrices, counted with the padding of row tiles

  template <class Work>
  __device__ SumTarget(const Work& work, int item, int column, int row) {
    const FewRowsParameters& p = work.p;
    int part = 0, row_tile = item;
    if constexpr (Work::kExperts) {
      const ExpertItem of_experts(p, item);
      part = of_experts.part;
      row_tile = of_experts.row_tile;
    }
    group = Work::kMixes ? part : 0;
    matrix = Work::kMixes ? 0 : matrix_of(p, row_tile);
    output = row_tile * kTileRows + row;
    out_row = column;
    if constexpr (Work::kExperts && !Work::kMixes) {
      const bool there = column < work.visits->rows(part);
      out_row = there ? work.visits->row[work.visits->begin[part] + column] : -1;
    }
  }
};

// Where a float stands among items' sums, [items][columns][16 rows].
struct SumPlace {
  int item;
  int column;
  int row;

  __device__ SumPlace(const FewRowsParameters& p, int at) {
    const int columns = at >> 4;
    item = p.by_columns.quotient(columns);
    column = columns - item * p.columns;
    row = at & 15;
  }
};
static_assert(kTileRows == 16);

__device__ __forceinline__ void store_result(const FewRowsParameters& p, const SumTarget& target,
                                             int node, float value) {
  const FewRowsMatrix& matrix = p.matrices[target.matrix];
  const int output = target.output - matrix.first_tile * kTileRows;
  if (target.out_row < 0 || output >= matrix.outputs) return;
  const int64_t at = (int64_t{target.group * p.steps.nodes + node} * p.node_rows + target.out_row) *
                         matrix.outputs +
                     output;
  switch (matrix.out_type) {
    case OutType::kF32:
      static_cast<float*>(matrix.out)[at] = value;
      return;
    case OutType::kBF16:
      static_cast<__nv_bfloat16*>(matrix.out)[at] = __float2bfloat16_rn(value);
      return;
    case OutType::kF16:
      static_cast<__half*>(matrix.out)[at] = __float2half_rn(value);
      return;
  }
}

// Leaves' sums, `stride` apart in memory of the thread's own, to the results.
__device__ __forceinline__ void combine_leaves(const FewRowsParameters& p, float* leaves,
                                               int stride, const SumTarget& target) {
  int top = -1;
  for (int leaf = 0; leaf < p.leaves.count; ++leaf) {
    ++top;
    float value = leaves[leaf * stride];
    for (int merge = 0; merge < p.steps.merges[leaf]; ++merge)
      value = leaves[--top * stride] + value;
    leaves[top * stride] = value;
    const int node = p.steps.node[leaf];
    if (node < 0) continue;
    --top;
    store_result(p, target, node, value);
  }
}

__device__ __forceinline__ float add(float a, float b) { return a + b; }
__device__ __forceinline__ float4 add(float4 a, float4 b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// The sum of load(first) .. load(first + kCount - 1) along a perfect tree, all loaded at once.
template <int kCount, class Load>
__device__ __forceinline__ auto sum_perfect(const Load& load, int first = 0) {
  if constexpr (kCount == 1) {
    return load(first);
  } else {
    const auto left = sum_perfect<kCount / 2>(load, first);
    return add(left, sum_perfect<kCount / 2>(load, first + kCount / 2));
  }
}
// `count` is a power of two up to kMaxLeaves.
template <class Load>
__device__ __forceinline__ auto sum_perfect_of(int count, const Load& load) {
  switch (count) {
    case 1:
      return sum_perfect<1>(load);
    case 2:
      return sum_perfect<2>(load);
    case 4:
      return sum_perfect<4>(load);
    case 8:
      return sum_perfect<8>(load);
    default:
      return sum_perfect<16>(load);
  }
}

// Combines the sums of items from `first` on, which stand in `sums`. All threads of the block.
template <class Work>
__device__ void finish_items(const Work& work, int first, int count, float* sums) {
  const FewRowsParameters& p = work.p;
  const int size = p.columns * kTileRows;
  for (int i = static_cast<int>(threadIdx.x); i < count * size; i += static_cast<int>(blockDim.x)) {
    const SumPlace at(p, i);
    const SumTarget target(work, first + at.item, at.column, at.row);
    float* const leaves = sums + at.item * (work.leaves - 1) * size + i;
    if (p.perfect != 0)
      store_result(p, target, 0,
                   sum_perfect_of(work.leaves, [&](int leaf) { return leaves[leaf * size]; }));
    else
      combine_leaves(p, leaves, size, target);
  }
}

// Whether this block is the last of those with a slice to say so of the items from `first` on. What
// they wrote before is then there to be read. All threads.
template <class Work>
__device__ bool is_last_slice(const Work& work, int first, bool* shared) {
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    unsigned* const arrivals = work.p.arrivals + work.turn_of(first);
    *shared = atomicAdd(arrivals, 1u) == static_cast<unsigned>(work.p.slices) - 1;
    if (*shared) *arrivals = 0;
  }
  __syncthreads();
  if (*shared) __threadfence();
  return *shared;
}

// Where blocks have slices of the leaves, sums go to memory, and the last block that brings its own
// combines them all. Slices of a perfect tree are subtrees, and bring one sum.
template <class Work>
__device__ void finish_subtrees(const Work& work, int first, int count, const float* sums,
                                bool* shared) {
  const FewRowsParameters& p = work.p;
  const int size = p.columns * kTileRows, fours = size / 4;
  const auto thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int slice = static_cast<int>(blockIdx.x) - work.block * p.slices;
  const int64_t row_size = int64_t{p.row_tiles} * kTileRows;
  const auto target_of = [&](int i) {
    const SumPlace at(p, i * 4);
    return SumTarget(work, first + at.item, at.column, at.row);
  };
  const auto place = [&](const SumTarget& target, int of) {
    return reinterpret_cast<float4*>(
        p.leaf_sums +
        (int64_t{target.group * p.slices + of} * p.out_rows + target.out_row) * row_size +
        target.output);
  };
  for (int i = thread; i < count * fours; i += threads) {
    const SumTarget target = target_of(i);
    if (target.out_row < 0) continue;
    const float* const leaves = sums + SumPlace(p, i * 4).item * (work.leaves - 1) * size + i * 4;
    *place(target, slice) = sum_perfect_of(work.leaves, [&](int leaf) {
      return *reinterpret_cast<const float4*>(leaves + leaf * size);
    });
  }
  if (is_last_slice(work, first, shared)) {
    for (int i = thread; i < count * fours; i += threads) {
      SumTarget target = target_of(i);
      if (target.out_row < 0) continue;
      const float4 sum =
          sum_perfect_of(p.slices, [&](int of) { return __ldcg(place(target, of)); });
      for (const float value : {sum.x, sum.y, sum.z, sum.w}) {
        store_result(p, target, 0, value);
        ++target.output;
      }
    }
  }
  __syncthreads();
}

// The same for any tree, leaf by leaf. `room` has as many floats as `sums`.
template <class Work>
__device__ void finish_leaves(const Work& work, int first, int count, const float* sums,
                              float* room, bool* shared) {
  const FewRowsParameters& p = work.p;
  const int size = p.columns * kTileRows;
  const auto thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const int64_t row_size = int64_t{p.row_tiles} * kTileRows;
  const auto place = [&](const SumTarget& target, int leaf) {
    return p.leaf_sums +
           (int64_t{target.group * p.leaves.count + leaf} * p.out_rows + target.out_row) *
               row_size +
           target.output;
  };
  for (int i = thread; i < count * work.leaves * size; i += threads) {
    const SumPlace at(p, i);  // of a unit, not of an item
    const int item = work.by_leaves.quotient(at.item);
    const SumTarget target(work, first + item, at.column, at.row);
    if (target.out_row >= 0)
      *place(target, work.first_leaf + at.item - item * work.leaves) = sums[i];
  }
  if (is_last_slice(work, first, shared)) {
    const int at_once = min(threads, p.units * size / p.leaves.count);
    for (int i = thread; thread < at_once && i < count * size; i += at_once) {
      const SumPlace at(p, i);
      const SumTarget target(work, first + at.item, at.column, at.row);
      if (target.out_row < 0) continue;
      for (int leaf = 0; leaf < p.leaves.count; ++leaf)
        room[leaf * at_once + thread] = __ldcg(place(target, leaf));
      combine_leaves(p, room + thread, at_once, target);
    }
  }
  __syncthreads();
}

}  // namespace strake::cuda
