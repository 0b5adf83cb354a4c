// Attention to latent vectors with a warpgroup's products (sm_90a).
//
// A block has 64 or 128 query heads of one token and goes through positions 64 at a time. Of its
// four warpgroups one brings positions, one scores them, and two sum their values, some of the
// columns or of the heads each. They meet at barriers in shared memory alone, so that copies,
// softmax and products of neighbouring tiles run at once.
//
// Where all blocks are on the GPU at once, two share a chunk: each has half of the columns, of keys
// as of values, and they tell each other their halves' scores. Otherwise a block has all columns of
// 64 heads. No result depends on that: such a block sums scores by halves, too.
#include "ops/cuda/attention_latent_bringer_sm90.h"
#include "ops/cuda/attention_latent_scores_sm90.h"
#include "ops/cuda/attention_latent_sums_sm90.h"
#include "ops/cuda/launch.h"

namespace strake::cuda {
namespace {

using namespace latent;

template <class T, int kOwn, int kHeadTiles>
__global__ void __cluster_dims__(kHalves / kOwn, 1, 1) __launch_bounds__(kThreads, 1)
    attend_latent_sm90_kernel(const AttentionCall call) {
  using Block = LatentBlock<T, kOwn, kHeadTiles>;
  using Bringer = LatentBringer<T, kOwn, kHeadTiles>;
  constexpr Registers kRegisters = registers_of(kOwn, kHeadTiles);
  extern __shared__ __align__(1024) unsigned char swizzled[];
  __shared__ Meetings meetings;
  auto& room = *reinterpret_cast<Room<T, kOwn, kHeadTiles>*>(swizzled);
  const int chunk = static_cast<int>(blockIdx.x) / Block::kBlocks;
  const int share = static_cast<int>(blockIdx.x) % Block::kBlocks;
  // The compiler is to know that they are the same in all lanes.
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0);
  const int group = warp / kGroupWarps;
  const bool brings = group == kSumGroups + 1;
  Early early;
  if (brings) early = Bringer::bring_early(call, room, chunk, share);
  if (threadIdx.x == 0) Block::init(meetings);
  __syncwarp();
  if constexpr (Block::kBlocks > 1)
    cluster_sync();
  else
    __syncthreads();
  begin_after_all();
  if (group < kSumGroups) Bringer::bring_queries(call, room, meetings, share);
  const LatentRow row(call, chunk, kHeadTiles * kTileHeads);
  if (row.begin >= row.end) return wait_for_all_copies();
  if (brings && (early.begin != row.begin || !are_settled(call, row.sequence, early.settled))) {
    wait_for_all_copies();  // and bring all anew
    early.end = 0;
  }
  const Block block{
      call, row, room, meetings, share, warp % kGroupWarps, static_cast<int>(threadIdx.x) % 32};
  if (brings) {
    set_registers<kRegisters.bring>();
    Bringer{block}.bring(early.end);
  } else if (group == kSumGroups) {
    set_registers<kRegisters.score>();
    LatentScorer<T, kOwn, kHeadTiles>{block}.score();
  } else {
    set_registers<kRegisters.sum>();
    LatentSummer<T, kOwn, kHeadTiles>{block}.sum(group);
  }
}

template <class T, int kOwn, int kHeadTiles>
void start(const AttentionLaunch& at) {
  launch({"latent attention", latent_grid(at, kHalves / kOwn, kHeadTiles * kTileHeads), kThreads,
          sizeof(Room<T, kOwn, kHeadTiles>), at.stream, Order::kOverlapping},
         attend_latent_sm90_kernel<T, kOwn, kHeadTiles>, at.call);
}

template <class T>
void start(const AttentionLaunch& at, int multiprocessors) {
  const int head_tiles = at.call.heads > kTileHeads ? 2 : 1;
  const dim3 grid = latent_grid(at, kHalves, head_tiles * kTileHeads);
  if (int64_t{grid.x} * grid.y * grid.z > multiprocessors)
    start<T, kHalves, 1>(at);
  else if (head_tiles == 1)
    start<T, 1, 1>(at);
  else
    start<T, 1, 2>(at);
}

}  // namespace

void attend_latent_sm90(const AttentionLaunch& at, int multiprocessors) {
  if (at.shape.dtype == DType::kBF16)
    start<__nv_bfloat16>(at, multiprocessors);
  else
    start<__half>(at, multiprocessors);
}

}  // namespace strake::cuda
