// How a block of few_rows_block.h combines the sums of its units. For device code.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "ops/cuda/few_rows_kernel.h"
#include "ops/cuda/few_rows_work.h"

namespace strake::cuda {

// Ends a leaf's sums: those of halves of the same activations are the first one's, times `factor`.
template <int kOctets>
__device__ __forceinline__ void end_leaf(const FewRowsParameters& p, float factor,
                                         float (&sum)[kOctets][4]) {
  if (p.x_halves == 2) {
#pragma unroll
    for (int octet = 1; octet < kOctets; ++octet)
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[0][i] += sum[octet][i];
  }
#pragma unroll
  for (auto& four : sum)
#pragma unroll
    for (float& value : four) value *= factor;
}

// A unit's sums to shared memory: [columns][16 rows]. Nobody reads columns beyond a visit's rows.
template <int kOctets>
__device__ __forceinline__ void store_sums(const FewRowsParameters& p,
                                           const float (&sum)[kOctets][4], float* to) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
#pragma unroll
  for (int octet = 0; octet < kOctets; ++octet) {
    if (octet > 0 && p.x_halves == 2) continue;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = 8 * octet + 2 * (lane % 4) + i % 2;
      const int row = lane / 4 + i / 2 * 8;
      if (column < p.columns) to[column * kTileRows + row] = sum[octet][i];
    }
  }
}

// What a unit of a mixture has summed over its visits, in columns of tokens.
template <int kOctets>
struct MixedSums {
  float sum[kOctets][4] = {};

  // A visit's own, times what its tokens multiply it with.
  __device__ __forceinline__ void add(const LaneTokens<kOctets>& tokens,
                                      const float (&of_visit)[kOctets][4]) {
#pragma unroll
    for (int octet = 0; octet < kOctets; ++octet)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float value = fmaf(of_visit[octet][i], tokens.factor[octet][i % 2], sum[octet][i]);
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
                                               int64_t stride, const SumTarget& target) {
  int top = -1;
#pragma unroll 1
  for (int leaf = 0; leaf < p.leaves.count; ++leaf) {
    ++top;
    float value = leaves[leaf * stride];
#pragma unroll 1
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
// `count` is a power of two up to kMost.
template <int kMost, class Load>
__device__ __forceinline__ auto sum_perfect_of(int count, const Load& load) {
  if constexpr (kMost > 1)
    if (count < kMost) return sum_perfect_of<kMost / 2>(count, load);
  return sum_perfect<kMost>(load);
}

// Combines the sums of all of a block's items. All threads.
template <class Work>
__device__ void finish_items(const Work& work, float* sums) {
  const FewRowsParameters& p = work.p;
  const int size = p.columns * kTileRows, count = work.end_item - work.first_item;
  for (int i = static_cast<int>(threadIdx.x); i < count * size; i += static_cast<int>(blockDim.x)) {
    const SumPlace at(p, i);
    const SumTarget target(work, work.first_item + at.item, at.column, at.row);
    float* const leaves = sums + at.item * (work.leaves - 1) * size + i;
    if (p.perfect != 0)
      store_result(p, target, 0, sum_perfect_of<kMaxLeaves>(work.leaves, [&](int leaf) {
                     return leaves[leaf * size];
                   }));
    else
      combine_leaves(p, leaves, size, target);
  }
}

}  // namespace strake::cuda
