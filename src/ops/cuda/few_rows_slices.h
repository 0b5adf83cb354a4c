// How sums combine where blocks have slices of the leaves. For device code.
#pragma once

#include "ops/cuda/few_rows_sums.h"

namespace strake::cuda {

// Warps do not wait for a whole block: the one that brings the last of an item's sums combines
// them, and writes the slice's to memory. The one that brings an item's last slice there combines
// those. Slices of a perfect tree are subtrees and bring one sum, others all leaves'.
//
// Neither that the sums are in memory nor how many slices are there is waited for at once: a warp
// looks when it has multiplied its next unit.
template <class Work>
class SliceSums {
 public:
  // All threads of a block, which then meet at a barrier.
  __device__ SliceSums(const Work& work, uint8_t* shared)
      : work_(work),
        sums_(reinterpret_cast<float*>(shared + work.p.sums_at)),
        counts_(reinterpret_cast<unsigned*>(shared + work.p.counts_at)) {
    if (threadIdx.x < kMostWindow) counts_[threadIdx.x] = 0;
  }

  // Where a unit has its sums: of this block's item `item` and leaf `leaf` of the slice.
  __device__ float* place(int item, int leaf) const { return of_item(item) + leaf * size(); }

  // Until that place is free: what had it before has been combined.
  __device__ void wait_for_place(int item) const {
    const auto free = static_cast<unsigned>(item >> work_.p.window_bits) * counts_of_item();
    const volatile unsigned* const count = count_of(item);
    while (*count < free) __nanosleep(64);
    __syncwarp();
  }

  // All lanes have written a unit's sums.
  __device__ void add_unit(int item) {
    fence_block();
    __syncwarp();
    unsigned count = 0;
    if (lane() == 0) count = atomicAdd(count_of(item), 1u);
    count = __shfl_sync(~0u, count, 0);
    advance();
    const auto free = static_cast<unsigned>(item >> work_.p.window_bits) * counts_of_item();
    if (count != free + static_cast<unsigned>(work_.leaves) - 1) return;
    fence_block();
    __syncwarp();
    write_slice(item);
    fence_block();
    __syncwarp();
    if (lane() == 0) atomicAdd(count_of(item), 1u);
    written_ = item;
  }

  // What the warp has begun.
  __device__ void finish() {
#pragma unroll 1
    while (written_ >= 0 || asked_ >= 0) advance();
  }

 private:
  static constexpr int kPairs = kTileRows / 2;
  // Where there are slices, a slice of a perfect tree has so many leaves at most. More sums at a
  // time would take more registers.
  static constexpr int kHalf = kMaxLeaves / 2;

  // Weaker than __threadfence() and its like, which order all threads' fences too.
  __device__ static void fence_block() { asm volatile("fence.acq_rel.cta;" ::: "memory"); }
  __device__ static void fence_device() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kLanes; }
  // Floats of a unit.
  __device__ int size() const { return work_.p.columns * kTileRows; }
  // How often an item is counted: for each of its leaves, and when its place is free again.
  __device__ unsigned counts_of_item() const { return static_cast<unsigned>(work_.leaves) + 1; }
  __device__ int slot(int item) const { return item & ((1 << work_.p.window_bits) - 1); }
  __device__ unsigned* count_of(int item) const { return counts_ + slot(item); }
  __device__ float* of_item(int item) const {
    return sums_ + slot(item) * (work_.p.units >> work_.p.window_bits) * size();
  }
  // Of pairs of rows, column by column.
  __device__ SumTarget target_of(int item, int pair) const {
    return SumTarget(work_, work_.first_item + item, pair / kPairs, pair % kPairs * 2);
  }
  // The first of an output row's sums of a slice, or of a leaf.
  __device__ float* in_memory(const SumTarget& target, int of, int count) const {
    const FewRowsParameters& p = work_.p;
    return p.leaf_sums +
           (int64_t{target.group * count + of} * p.out_rows + target.out_row) *
               (int64_t{p.row_tiles} * kTileRows) +
           target.output;
  }

  // The slice's sums of an item, from shared memory.
  __device__ void write_slice(int item) const {
    const FewRowsParameters& p = work_.p;
    const auto store = [](float* to, float2 pair) { *reinterpret_cast<float2*>(to) = pair; };
#pragma unroll 1
    for (int i = lane(); i < p.columns * kPairs; i += kLanes) {
      const SumTarget target = target_of(item, i);
      if (target.out_row < 0) continue;
      const float* const sums = of_item(item) + i * 2;
      const auto load = [&](int leaf) {
        return *reinterpret_cast<const float2*>(sums + leaf * size());
      };
      if (p.perfect != 0) {
        const int slice = static_cast<int>(blockIdx.x) - work_.block * p.slices;
        store(in_memory(target, slice, p.slices), sum_perfect_of<kHalf>(work_.leaves, load));
        continue;
      }
#pragma unroll 1
      for (int leaf = 0; leaf < work_.leaves; ++leaf)
        store(in_memory(target, work_.first_leaf + leaf, p.leaves.count), load(leaf));
    }
  }

  // An item all of whose slices are in memory.
  __device__ void make_results(int item) const {
    const FewRowsParameters& p = work_.p;
#pragma unroll 1
    for (int i = lane(); i < p.columns * kPairs; i += kLanes) {
      SumTarget target = target_of(item, i);
      if (target.out_row < 0) continue;
      if (p.perfect != 0) {
        const auto load = [&](int slice) {
          return __ldcg(reinterpret_cast<const float2*>(in_memory(target, slice, p.slices)));
        };
        float2 sum = sum_perfect_of<kHalf>(min(p.slices, kHalf), load);
        if (p.slices > kHalf) sum = add(sum, sum_perfect<kHalf>(load, kHalf));
        for (const float value : {sum.x, sum.y}) {
          store_result(p, target, 0, value);
          ++target.output;
        }
        continue;
      }
      const int64_t stride = int64_t{p.out_rows} * p.row_tiles * kTileRows;
#pragma unroll 1
      for (int row = 0; row < 2; ++row, ++target.output)
        combine_leaves(p, in_memory(target, 0, p.leaves.count), stride, target);
    }
  }

  // Asks for what has been written to be counted, and sees to what was asked for before.
  __device__ void advance() {
    unsigned* const arrivals = work_.p.arrivals + work_.first_item;
    if (asked_ >= 0) {
      if (__shfl_sync(~0u, arrived_, 0) == static_cast<unsigned>(work_.p.slices) - 1) {
        fence_device();
        __syncwarp();
        make_results(asked_);
        if (lane() == 0) arrivals[asked_] = 0;
      }
      asked_ = -1;
    }
    if (written_ < 0) return;
    fence_device();
    __syncwarp();
    if (lane() == 0) arrived_ = atomicAdd(arrivals + written_, 1u);
    asked_ = written_;
    written_ = -1;
  }

  const Work& work_;
  float* sums_;           // [window][leaves of the largest slice][columns][16 rows]
  unsigned* counts_;      // [window]
  int written_ = -1;      // the item whose slice was written last, until that is counted
  int asked_ = -1;        // the one that is being counted
  unsigned arrived_ = 0;  // in lane 0: its slices before this one
};

}  // namespace strake::cuda
