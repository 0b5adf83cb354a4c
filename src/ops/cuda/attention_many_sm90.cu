// Many query rows with a warpgroup's products (sm_90a).
//
// A block takes tile after tile of 128 rows of a cached head's queries, and goes through the
// positions that they see 128 at a time. Of its three warpgroups one brings queries, keys and
// values, the others have 64 rows each. While one of those weighs its scores, the tensor cores sum
// its values of the positions before; and the two start products in turn, so that after these they
// have the other's.
#include <algorithm>

#include "ops/cuda/attention_many_bringer_sm90.h"
#include "ops/cuda/attention_many_products_sm90.h"
#include "ops/cuda/launch.h"

namespace strake::cuda {
namespace {

using namespace many_queries;

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 1)
    attend_many_sm90_kernel(const AttentionCall call, int sequences) {
  extern __shared__ __align__(1024) unsigned char swizzled[];
  __shared__ Meetings meetings;
  Room<T, kWidth>& room = *reinterpret_cast<Room<T, kWidth>*>(swizzled);
  if (threadIdx.x == 0) meetings.init();
  begin_after_all();
  __syncthreads();
  // The compiler is to know that they are the same in all lanes.
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0);
  const int group = warp / kGroupWarps;
  if (group == kProductGroups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kBringRegisters));
    const int thread = threadIdx.x % kGroup;
    Bringer<T, kWidth>{call, room, meetings, thread / 8, thread % 8}.bring(sequences);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kProductRegisters));
    ProductGroup<T, kWidth>{
        call, room, meetings, group, warp % kGroupWarps, static_cast<int>(threadIdx.x) % 32}
        .multiply(sequences);
  }
}

template <class T, int kWidth>
void start(const AttentionLaunch& at, int multiprocessors) {
  const int64_t tiles = int64_t{query_tiles(at.call)} * at.call.cached_heads * at.sequences;
  launch(
      {"attention of many rows", static_cast<unsigned>(std::min<int64_t>(tiles, multiprocessors)),
       kThreads, sizeof(Room<T, kWidth>), at.stream, Order::kOverlapping},
      attend_many_sm90_kernel<T, kWidth>, at.call, at.sequences);
}

template <class T>
void start(const AttentionLaunch& at, int multiprocessors) {
  if (at.shape.width == 64)
    start<T, 64>(at, multiprocessors);
  else
    start<T, 128>(at, multiprocessors);
}

}  // namespace

bool attend_many_sm90(const AttentionLaunch& at, int multiprocessors) {
  const AttentionShape& shape = at.shape;
  if (shape.width != shape.value_width || shape.width != shape.value_stride) return false;
  if (shape.width != 64 && shape.width != 128) return false;
  // The largest of scores is found before they are scaled.
  if (at.call.scale <= 0 || at.call.row_scales != nullptr) return false;
  if (shape.dtype == DType::kBF16)
    start<__nv_bfloat16>(at, multiprocessors);
  else if (shape.dtype == DType::kF16)
    start<__half>(at, multiprocessors);
  else
    return false;
  return true;
}

}  // namespace strake::cuda
