// Attention to latent vectors with a warpgroup's products (sm_90a).
//
// A block has 64 query heads of one token and goes through positions 64 at a time. Of its four
// warpgroups one brings positions, one scores them, and two sum their values, some of the columns
// each. They meet at barriers in shared memory alone, so that copies, softmax and products of
// neighbouring tiles run at once.
//
// Where there are too few blocks for the GPU, two share a chunk: each has half of the columns, of
// keys as of values, and they tell each other their halves' scores. No result depends on that: a
// block that has all columns sums scores by halves, too.
#include "ops/cuda/attention_latent_bringer_sm90.h"
#include "ops/cuda/attention_latent_scores_sm90.h"
#include "ops/cuda/attention_latent_sums_sm90.h"
#include "ops/cuda/launch.h"

namespace strake::cuda {
namespace {

using namespace latent;

template <class T, int kOwn>
__global__ void __cluster_dims__(kHalves / kOwn, 1, 1) __launch_bounds__(kThreads, 1)
    attend_latent_sm90_kernel(const AttentionCall call) {
  using Block = LatentBlock<T, kOwn>;
  using Bringer = LatentBringer<T, kOwn>;
  extern __shared__ __align__(1024) unsigned char swizzled[];
  __shared__ Meetings meetings;
  auto& room = *reinterpret_cast<Room<T, kOwn>*>(swizzled);
  const int chunk = static_cast<int>(blockIdx.x) / Block::kBlocks;
  const int share = static_cast<int>(blockIdx.x) % Block::kBlocks;
  // The compiler is to know that they are the same in all lanes.
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0);
  const int group = warp / kGroupWarps;
  const bool brings = group == kSumGroups + 1;
  Early early;
  if (brings) early = Bringer::bring_early(call, room, chunk, share);
  if (threadIdx.x == 0) Block::init(meetings);
  if constexpr (Block::kBlocks > 1)
    cluster_sync();
  else
    __syncthreads();
  begin_after_all();
  if (group < kSumGroups) Bringer::bring_queries(call, room, meetings, share);
  const LatentRow row(call, chunk);
  const bool is_empty = row.begin >= row.end;
  if (is_empty || early.begin != row.begin || !are_settled(call, row.sequence, early.settled)) {
    wait_for_copies<0>();
    early.end = 0;
  }
  if (is_empty) return;
  const Block block{
      call, row, room, meetings, share, warp % kGroupWarps, static_cast<int>(threadIdx.x) % 32};
  if (brings) {
    set_registers<kRegisters<kOwn>.bring>();
    Bringer{block}.bring(early.end);
  } else if (group == kSumGroups) {
    set_registers<kRegisters<kOwn>.score>();
    LatentScorer<T, kOwn>{block}.score();
  } else {
    set_registers<kRegisters<kOwn>.sum>();
    LatentSummer<T, kOwn>{block}.sum(group);
  }
}

template <class T, int kOwn>
void start(const AttentionLaunch& at) {
  launch({"latent attention", latent_grid(at, kHalves / kOwn), kThreads, sizeof(Room<T, kOwn>),
          at.stream, Order::kOverlapping},
         attend_latent_sm90_kernel<T, kOwn>, at.call);
}

template <class T>
void start(const AttentionLaunch& at, int multiprocessors) {
  const dim3 grid = latent_grid(at, kHalves);
  if (int64_t{grid.x} * grid.y * grid.z <= multiprocessors)
    start<T, 1>(at);
  else
    start<T, kHalves>(at);
}

}  // namespace

void attend_latent_sm90(const AttentionLaunch& at, int multiprocessors) {
  if (at.shape.dtype == DType::kBF16)
    start<__nv_bfloat16>(at, multiprocessors);
  else
    start<__half>(at, multiprocessors);
}

}  // namespace strake::cuda
