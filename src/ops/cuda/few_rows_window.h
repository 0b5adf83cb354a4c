// How a block combines the sums of many items, or of a slice of their leaves. For device code.
#pragma once

#include "ops/cuda/few_rows_sums.h"

namespace strake::cuda {

// Warps do not wait for a whole block: whoever has multiplied a unit and finds that the oldest item
// has all its sums combines them. (That is not the warp that brought the last of them, but one that
// is ahead of it.) Where there are slices of the leaves, it writes the slice's to memory, and the
// one that brings an item's last slice there combines those. Slices of a perfect tree are subtrees
// and bring one sum, others all leaves'.
//
// Neither that sums are in memory nor how many slices are there is waited for at once: a warp looks
// when it has multiplied its next unit.
template <class Work>
class SumWindow {
 public:
  static constexpr int kNone = -1;  // instead of an item

  // All threads of a block, which then meet at a barrier.
  __device__ SumWindow(const Work& work, uint8_t* shared)
      : work_(work),
        sums_(reinterpret_cast<float*>(shared + work.p.sums_at)),
        counts_(reinterpret_cast<unsigned*>(shared + work.p.counts_at)) {
    if (threadIdx.x <= kMostWindow) counts_[threadIdx.x] = 0;
  }

  // Where a unit has its sums: of this block's item `item` and leaf `leaf` of the slice.
  __device__ float* place(int item, int leaf) const { return of_item(item) + leaf * size(); }

  // After a unit of that item: writes its sums with store() once there is place for them, counts
  // them, and combines what is ready. After the last, with kNone: until all is combined.
  template <class Store>
  __device__ __forceinline__ void settle(int item, const Store& store) {
    const bool to_end = item == kNone;
    bool waits;
#pragma unroll 1
    do {
      const int complete = complete_item();  // without this unit's sums
      if (item != kNone && has_place(item)) {
        store();
        add_unit(item);
        item = kNone;
      }
      advance();
      const bool combined = combine_if(complete);
      waits = to_end ? !all_combined() : item != kNone;
      if (waits && !combined) __nanosleep(64);
      // A vote, for the compiler to know that all lanes agree: then it has uniform registers, too.
    } while (__any_sync(~0u, waits) != 0);
  }

 private:
  static constexpr int kFours = kTileRows / 4;

  // Not __threadfence() and its like: those fences have an order among themselves too.
  __device__ static void fence_block() { asm volatile("fence.acq_rel.cta;" ::: "memory"); }
  __device__ static void fence_device() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }
  // The same in all lanes.
  __device__ static unsigned read(const unsigned* at) {
    return __shfl_sync(~0u, *static_cast<const volatile unsigned*>(at), 0);
  }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kLanes; }
  // Floats of a unit.
  __device__ int size() const { return work_.p.columns * kTileRows; }
  __device__ int slot(int item) const { return item & (work_.p.window - 1); }
  __device__ float* of_item(int item) const {
    return sums_ + slot(item) * (work_.p.units >> work_.p.window_bits) * size();
  }
  // A place counts each of an item's leaves, and that it is free again.
  __device__ unsigned* count_of(int item) const { return counts_ + slot(item); }
  __device__ unsigned count_before(int item) const {
    return static_cast<unsigned>((item >> work_.p.window_bits) * (work_.leaves + 1));
  }
  __device__ bool has_place(int item) const { return read(count_of(item)) >= count_before(item); }
  __device__ void add_unit(int item) const {
    fence_block();
    __syncwarp();
    if (lane() == 0) atomicAdd(count_of(item), 1u);
  }
  // Also what this warp has written.
  __device__ bool all_combined() const {
    const auto items = static_cast<unsigned>(work_.end_item - work_.first_item);
    return written_ < 0 && asked_ < 0 && read(next()) >= items;
  }
  // The oldest item that nobody combines yet.
  __device__ unsigned* next() const { return counts_ + kMostWindow; }

  // That item, if all its sums are there; or -1.
  __device__ int complete_item() const {
    const auto item = static_cast<int>(read(next()));
    return read(count_of(item)) == count_before(item) + static_cast<unsigned>(work_.leaves) ? item
                                                                                            : -1;
  }
  // If this warp is the first to want that. Returns whether it was.
  __device__ bool combine_if(int item) {
    if (item < 0) return false;
    unsigned found = 0;
    const auto expected = static_cast<unsigned>(item);
    if (lane() == 0) found = atomicCAS(next(), expected, expected + 1);
    if (__shfl_sync(~0u, found, 0) != expected) return false;
    fence_block();
    __syncwarp();
    combine(item);
    fence_block();
    __syncwarp();
    if (lane() == 0) atomicAdd(count_of(item), 1u);
    if (work_.p.slices > 1) written_ = item;
    return true;
  }

  // Of fours of rows, column by column.
  __device__ SumTarget target_of(int item, int four) const {
    return SumTarget(work_, work_.first_item + item, four / kFours, four % kFours * 4);
  }
  // Four rows' sums of a slice, or of a leaf, of `count`.
  __device__ float4* in_memory(const SumTarget& target, int of, int count) const {
    const FewRowsParameters& p = work_.p;
    return reinterpret_cast<float4*>(
        p.leaf_sums +
        (int64_t{target.group * count + of} * p.out_rows + target.out_row) *
            (int64_t{p.row_tiles} * kTileRows) +
        target.output);
  }

  // Along a perfect tree, four at a time: more would take more registers.
  template <class Load>
  __device__ static float4 sum_of(int count, const Load& load) {
    if (count < 4) return sum_perfect_of<2>(count, load);
    float4 sum, four, eight;
#pragma unroll 1
    for (int first = 0; first < count; first += 4) {
      sum = sum_perfect<4>(load, first);
      if (first % 8 == 4) sum = add(four, sum);
      if (first % 16 == 12) sum = add(eight, sum);
      if (first % 8 == 0) four = sum;
      if (first % 16 == 4) eight = sum;
    }
    return sum;
  }
  __device__ void store_results(SumTarget target, float4 sums) const {
    for (const float value : {sums.x, sums.y, sums.z, sums.w}) {
      store_result(work_.p, target, 0, value);
      ++target.output;
    }
  }
  // Along any tree: the first row's sums of leaves stand `stride` apart.
  __device__ void combine_rows(SumTarget target, float* leaves, int64_t stride) const {
#pragma unroll 1
    for (int row = 0; row < 4; ++row, ++target.output)
      combine_leaves(work_.p, leaves + row, stride, target);
  }

  // What a block has of an item, from shared memory.
  __device__ void combine(int item) const {
    const FewRowsParameters& p = work_.p;
#pragma unroll 1
    for (int i = lane(); i < p.columns * kFours; i += kLanes) {
      const SumTarget target = target_of(item, i);
      if (target.out_row < 0) continue;
      float* const sums = of_item(item) + i * 4;
      const auto load = [&](int leaf) {
        return *reinterpret_cast<const float4*>(sums + leaf * size());
      };
      if (p.perfect != 0) {
        const float4 sum = sum_of(work_.leaves, load);
        const int slice = static_cast<int>(blockIdx.x) - work_.block * p.slices;
        if (p.slices == 1)
          store_results(target, sum);
        else
          *in_memory(target, slice, p.slices) = sum;
      } else if (p.slices == 1) {
        combine_rows(target, sums, size());
      } else {
#pragma unroll 1
        for (int leaf = 0; leaf < work_.leaves; ++leaf)
          *in_memory(target, work_.first_leaf + leaf, p.leaves.count) = load(leaf);
      }
    }
  }

  // An item all of whose slices are in memory.
  __device__ void combine_slices(int item) const {
    const FewRowsParameters& p = work_.p;
#pragma unroll 1
    for (int i = lane(); i < p.columns * kFours; i += kLanes) {
      const SumTarget target = target_of(item, i);
      if (target.out_row < 0) continue;
      if (p.perfect != 0)
        store_results(target, sum_of(p.slices, [&](int slice) {
                        return __ldcg(in_memory(target, slice, p.slices));
                      }));
      else
        combine_rows(target, reinterpret_cast<float*>(in_memory(target, 0, p.leaves.count)),
                     int64_t{p.out_rows} * p.row_tiles * kTileRows);
    }
  }

  // Asks for what has been written to be counted, and sees to what was asked for before.
  __device__ void advance() {
    unsigned* const arrivals = work_.p.arrivals + work_.first_item;
    if (asked_ >= 0) {
      if (__shfl_sync(~0u, arrived_, 0) == static_cast<unsigned>(work_.p.slices) - 1) {
        fence_device();
        __syncwarp();
        combine_slices(asked_);
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
  unsigned* counts_;      // [window], and next()
  int written_ = -1;      // the item whose slice was written last, until that is counted
  int asked_ = -1;        // the one that is being counted
  unsigned arrived_ = 0;  // in lane 0: its slices before this one
};

}  // namespace strake::cuda
