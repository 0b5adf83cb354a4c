// Attention to latent vectors with a warpgroup's products (sm_90a).
//
// A block has 64 query heads of one token and goes through positions 64 at a time. Of its four
// warpgroups one brings positions, one scores them, and two sum their values, some of the columns
// each. They meet at barriers in shared memory alone, so that copies, softmax and products of
// neighbouring tiles run at once.
//
// Where there are too few blocks for the GPU, two share a chunk: both score all of it, and have
// half of the values' columns. No result depends on that.
#include "ops/cuda/async_sm90.h"
#include "ops/cuda/attention_call.h"
#include "ops/cuda/latent_rows.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/wgmma_sm90.h"

namespace strake::cuda {
namespace {

constexpr int kGroup = 128;  // a warpgroup
constexpr int kGroupWarps = kGroup / 32;
constexpr int kSumGroups = 2;  // the first ones; then the one that scores, and the one that brings
constexpr int kThreads = (kSumGroups + 2) * kGroup;
constexpr int kHeads = kLatentHeads;
constexpr int kKeys = 64;                   // positions of a tile
constexpr int kSlice = 64 * 64;             // elements: 64 columns of a tile
constexpr int kSlices = kLatentWidth / 64;  // of a tile
constexpr int kTile = kSlices * kSlice;     // elements
constexpr int kTiles = 2;                   // of the ring
constexpr uint32_t kSliceBytes = kSlice * 2;

// A tile comes and goes in parts of 128 of the values' columns. The last one has the other columns,
// too.
constexpr int kPartColumns = 128;
constexpr int kParts = kLatentValues / kPartColumns;
__device__ constexpr int part_slice(int part) {
  return part == kParts ? kSlices : part * (kPartColumns / 64);
}

// Registers of a thread; together those of a multiprocessor.
constexpr int kSumRegisters = 184;
constexpr int kScoreRegisters = 104;
constexpr int kBringRegisters = 40;
static_assert((kSumGroups * kSumRegisters + kScoreRegisters + kBringRegisters) * kGroup <= 65536);

template <class T>
struct Room {
  T queries[kTile];
  T tiles[kTiles][kTile];
  T weights[kHeads * kKeys];
};

struct Meetings {
  uint64_t queries;
  uint64_t full[kTiles][kParts];
  uint64_t empty[kTiles][kParts];
  uint64_t weights_full;
  uint64_t weights_empty;
  float factors[kHeads];  // of the sums so far
  float largest[kHeads];
  float total[kHeads];
};

// Where a 16-byte unit of a row of 64 columns stands, in elements: see swizzled_rows().
__device__ constexpr int unit_at(int row, int unit) { return row * 64 + (unit ^ row % 8) * 8; }

// A thread's part of 64 heads' softmax: heads `row` and `row` + 8.
struct HeadSums {
  float largest[2] = {kLowest, kLowest};
  float total[2] = {};
};

// From scores to weights, eight pairs a head, and the factors of the heads' sums so far. `there`
// has a bit for each of the thread's 16 columns.
template <class T>
__device__ __forceinline__ void weigh(float (&scores)[32], float scale, uint32_t there,
                                      HeadSums& sums, uint32_t (&weights)[2][8],
                                      float (&factors)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float most = sums.largest[half];
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      float& score = scores[i / 2 * 4 + half * 2 + i % 2];
      score = there >> i & 1 ? score * scale : -INFINITY;
      most = fmaxf(most, score);
    }
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
    most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
    factors[half] = exp2_fast(sums.largest[half] - most);
    sums.largest[half] = most;
    sums.total[half] *= factors[half];
#pragma unroll
    for (int n = 0; n < 8; ++n) {
      const float x = exp2_fast(scores[n * 4 + half * 2] - most);
      const float y = exp2_fast(scores[n * 4 + half * 2 + 1] - most);
      sums.total[half] += x + y;
      weights[half][n] = pack<T>(x, y);
    }
  }
}

// A warpgroup sums `kOwnParts` of the values.
template <class T, int kOwnParts>
struct LatentBlock {
  static constexpr int kShares = kParts / (kSumGroups * kOwnParts);  // blocks of a chunk
  static constexpr int kColumns = kOwnParts * kPartColumns;          // of a warpgroup
  static constexpr int kStagedRow = kColumns + 8;  // floats: rows begin in different banks
  static_assert(kSumGroups * kHeads * kStagedRow * sizeof(float) <= sizeof(Room<T>::tiles));
  using Sums = float[kOwnParts][kPartColumns / 2];

  const AttentionCall& call;
  const LatentRow& row;
  Room<T>& room;
  Meetings& meetings;
  int share;  // of the values
  int warp;   // of its warpgroup
  int lane;

  __device__ static uint32_t full(const Meetings& at, int tile, int part) {
    return shared_address(&at.full[tile % kTiles][part]);
  }
  __device__ static uint32_t empty(const Meetings& at, int tile, int part) {
    return shared_address(&at.empty[tile % kTiles][part]);
  }
  // Of the barriers' phase that fills this tile.
  __device__ static uint32_t parity(int tile) { return tile / kTiles % 2; }

  // One thread's.
  __device__ static void init(Meetings& at, int share) {
    barrier_init(shared_address(&at.queries), kSumGroups * kGroup);
    for (int place = 0; place < kTiles; ++place)
      for (int part = 0; part < kParts; ++part) {
        // All parts are scored, a share's are summed.
        const bool own = part / (kSumGroups * kOwnParts) == share;
        barrier_init(full(at, place, part), kGroup);
        barrier_init(empty(at, place, part), own ? 2 * kGroupWarps : kGroupWarps);
      }
    barrier_init(shared_address(&at.weights_full), kGroupWarps);
    barrier_init(shared_address(&at.weights_empty), kSumGroups * kGroupWarps);
    barrier_init_done();
  }

  // What the warp's products were is no longer needed.
  __device__ void release(int tile, int first_part, int parts) const {
    if (lane != 0) return;
#pragma unroll
    for (int part = first_part; part < first_part + parts; ++part)
      barrier_arrive(empty(meetings, tile, part));
  }

  // Eight threads a row.
  __device__ void bring() const {
    constexpr int kRows = kGroup / 8;  // at a time
    const int thread = threadIdx.x % kGroup, unit = thread % 8;
    const T* const cached = static_cast<const T*>(row.cached) + unit * 8;
    int tile = 0;
    for (int first = row.begin; first < row.end; first += kKeys, ++tile) {
      const T* from[kKeys / kRows];
      int bytes[kKeys / kRows];
#pragma unroll
      for (int i = 0; i < kKeys / kRows; ++i) {
        const int position = row.position_of(first + thread / 8 + i * kRows);
        from[i] = cached + int64_t{max(position, 0)} * kLatentWidth;
        bytes[i] = position < 0 ? 0 : 16;
      }
      T* const to = room.tiles[tile % kTiles] + unit_at(thread / 8, unit);
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        barrier_wait(empty(meetings, tile, part), parity(tile) ^ 1);
#pragma unroll
        for (int i = 0; i < kKeys / kRows; ++i)
#pragma unroll
          for (int slice = part_slice(part); slice < part_slice(part + 1); ++slice)
            copy_async(to + i * kRows * 64 + slice * kSlice, from[i] + slice * 64, bytes[i]);
        barrier_arrive_after_copies(full(meetings, tile, part));
      }
    }
    asm volatile("cp.async.wait_all;" ::: "memory");
  }

  // By the warpgroups that sum, before there is anything to sum. Zeros beyond the last head.
  __device__ void bring_queries() const {
    const int unit = threadIdx.x % 8;
    const T* const q = row.query<T>(call, 0);
#pragma unroll
    for (int head = threadIdx.x / 8; head < kHeads; head += kSumGroups * kGroup / 8) {
      const bool there = row.first_head + head < call.heads;
      const T* const from = q + (there ? head : 0) * kLatentWidth + unit * 8;
      T* const to = room.queries + unit_at(head, unit);
#pragma unroll
      for (int slice = 0; slice < kSlices; ++slice)
        copy_async(to + slice * kSlice, from + slice * 64, there ? 16 : 0);
    }
    barrier_arrive_after_copies(shared_address(&meetings.queries));
  }

  // All heads' scores of a tile.
  __device__ void multiply(int tile, float (&scores)[32]) const {
    const uint64_t query_rows = swizzled_rows(shared_address(room.queries));
    const uint64_t key_rows = swizzled_rows(shared_address(room.tiles[tile % kTiles]));
#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice) {
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        if (slice != part_slice(part)) continue;
        barrier_wait(full(meetings, tile, part), parity(tile));
        show_to_async();
        wgmma_fence();
      }
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const uint64_t at = (slice * kSliceBytes + k * 32) >> 4;
        wgmma_shared<T>(scores, query_rows + at, key_rows + at, slice > 0 || k > 0);
      }
    }
    wgmma_commit();
    wgmma_wait<0>();
    pin(scores);
    release(tile, 0, kParts);
  }

  __device__ void score() const {
    const int own_row = warp * 16 + lane / 4;  // and 8 after
    const float scale = score_scale(call, row.sequence, row.token);
    HeadSums sums;
    barrier_wait(shared_address(&meetings.queries), 0);
    int tile = 0;
    for (int first = row.begin; first < row.end; first += kKeys, ++tile) {
      uint32_t there = 0;
#pragma unroll
      for (int i = 0; i < 16; ++i) {
        const int place = first + i / 2 * 8 + lane % 4 * 2 + i % 2;
        there |= static_cast<uint32_t>(row.position_of(place) >= 0) << i;
      }
      float scores[32], factors[2];
      uint32_t weights[2][8];
      multiply(tile, scores);
      weigh<T>(scores, scale, there, sums, weights, factors);
      if (tile > 0) barrier_wait(shared_address(&meetings.weights_empty), (tile - 1) % 2);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int head = own_row + 8 * half;
        if (lane % 4 == 0) meetings.factors[head] = factors[half];
#pragma unroll
        for (int n = 0; n < 8; ++n)
          *reinterpret_cast<uint32_t*>(room.weights + unit_at(head, n) + lane % 4 * 2) =
              weights[half][n];
      }
      __syncwarp();
      if (lane == 0) barrier_arrive(shared_address(&meetings.weights_full));
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = sums.total[half];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      const int head = own_row + 8 * half;
      if (lane % 4 != 0) continue;
      meetings.largest[head] = sums.largest[half];
      meetings.total[head] = sum;
      if (share == 0 && row.first_head + head < call.heads)
        LatentResult<T>(call, row, head, {sums.largest[half], sum}).put_partial();
    }
    meet_at_end();
  }

  // Those that score and sum: all products are done, and the heads' totals known.
  __device__ void meet_at_end() const {
    asm volatile("bar.sync 1, %0;" ::"n"((kSumGroups + 1) * kGroup) : "memory");
  }

  __device__ void sum(int group) const {
    const int own_row = warp * 16 + lane / 4;  // and 8 after
    const int first_part = (share * kSumGroups + group) * kOwnParts;
    Sums mixed;
    int tile = 0;
    for (int first = row.begin; first < row.end; first += kKeys, ++tile) {
      barrier_wait(shared_address(&meetings.weights_full), tile % 2);
      uint32_t weights[kKeys / 16][4];
#pragma unroll
      for (int k = 0; k < kKeys / 16; ++k)
        ldmatrix(weights[k], room.weights + unit_at(warp * 16 + lane % 16, 2 * k + lane / 16));
      const float low = meetings.factors[own_row], high = meetings.factors[own_row + 8];
      __syncwarp();
      if (lane == 0) barrier_arrive(shared_address(&meetings.weights_empty));
      if (tile > 0 && __any_sync(0xffffffffu, low != 1 || high != 1)) {
#pragma unroll
        for (int part = 0; part < kOwnParts; ++part)
#pragma unroll
          for (int i = 0; i < kPartColumns / 2; ++i) mixed[part][i] *= i % 4 < 2 ? low : high;
      }
#pragma unroll
      for (int part = 0; part < kOwnParts; ++part) {
        barrier_wait(full(meetings, tile, first_part + part), parity(tile));
        pin(mixed[part]);
      }
      show_to_async();
      const T* const values = room.tiles[tile % kTiles] + part_slice(first_part) * kSlice;
      const uint64_t value_rows = turned_rows(shared_address(values), kSliceBytes);
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < kKeys / 16; ++k)
#pragma unroll
        for (int part = 0; part < kOwnParts; ++part) {
          const uint64_t at = (part_slice(part) * kSliceBytes + k * 16 * 128) >> 4;
          wgmma_turned<T>(mixed[part], weights[k], value_rows + at, tile > 0 || k > 0);
        }
      wgmma_commit();
      wgmma_wait<0>();
#pragma unroll
      for (int part = 0; part < kOwnParts; ++part) pin(mixed[part]);
      release(tile, first_part, kOwnParts);
    }
    meet_at_end();
    const int column = first_part * kPartColumns;
    if (call.partials == nullptr)
      put_results(mixed, column);
    else
      put_partials(mixed, group, column);
  }

  __device__ void put_results(const Sums& mixed, int column) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int head = warp * 16 + lane / 4 + 8 * half;
      if (row.first_head + head >= call.heads) continue;
      const LatentResult<T> result(call, row, head, {meetings.largest[head], meetings.total[head]});
#pragma unroll
      for (int i = 0; i < kColumns / 8; ++i) {
        const float* const pair = mixed[i / 16] + i % 16 * 4 + half * 2;
        result.put(column + i * 8 + lane % 4 * 2, pair[0], pair[1]);
      }
    }
  }

  // Through shared memory, where the tiles were: a head's columns are written at once.
  __device__ void put_partials(const Sums& mixed, int group, int column) const {
    float* const staged =
        reinterpret_cast<float*>(room.tiles) + (group * kGroupWarps + warp) * 16 * kStagedRow;
    float* const own = staged + lane / 4 * kStagedRow + lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int i = 0; i < kColumns / 8; ++i) {
        const float* const pair = mixed[i / 16] + i % 16 * 4 + half * 2;
        *reinterpret_cast<float2*>(own + 8 * half * kStagedRow + i * 8) = float2{pair[0], pair[1]};
      }
    show_to_async();
    __syncwarp();
    const int head = warp * 16 + lane;
    if (lane >= 16 || row.first_head + head >= call.heads) return;
    copy_out(LatentResult<T>(call, row, head, {}).mixed + column,
             shared_address(staged + lane * kStagedRow), kColumns * sizeof(float));
    wait_for_copies_out();
  }
};

template <class T, int kOwnParts>
__global__ void __launch_bounds__(kThreads, 1) attend_latent_sm90_kernel(const AttentionCall call) {
  using Block = LatentBlock<T, kOwnParts>;
  extern __shared__ __align__(1024) unsigned char swizzled[];
  __shared__ Meetings meetings;
  const int chunk = static_cast<int>(blockIdx.x) / Block::kShares;
  const int share = static_cast<int>(blockIdx.x) % Block::kShares;
  if (share == 0) bring_latents<T>(call, chunk, kTiles * kKeys);
  if (threadIdx.x == 0) Block::init(meetings, share);
  begin_after_all();
  const LatentRow row(call, chunk);
  if (row.begin >= row.end) return;
  __syncthreads();
  // The compiler is to know that they are the same in all lanes.
  const int warp = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 32, 0);
  const int group = warp / kGroupWarps;
  const Block block{call,
                    row,
                    *reinterpret_cast<Room<T>*>(swizzled),
                    meetings,
                    share,
                    warp % kGroupWarps,
                    static_cast<int>(threadIdx.x) % 32};
  if (group == kSumGroups + 1) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kBringRegisters));
    block.bring();
  } else if (group == kSumGroups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kScoreRegisters));
    block.score();
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kSumRegisters));
    block.bring_queries();
    block.sum(group);
  }
}

template <class T, int kOwnParts>
void start(const AttentionLaunch& at) {
  launch({"latent attention", latent_grid(at, LatentBlock<T, kOwnParts>::kShares), kThreads,
          sizeof(Room<T>), at.stream, Order::kOverlapping},
         attend_latent_sm90_kernel<T, kOwnParts>, at.call);
}

template <class T>
void start(const AttentionLaunch& at, int multiprocessors) {
  const dim3 grid = latent_grid(at, 2);
  if (int64_t{grid.x} * grid.y * grid.z <= multiprocessors)
    start<T, 1>(at);
  else
    start<T, 2>(at);
}

}  // namespace

void attend_latent_sm90(const AttentionLaunch& at, int multiprocessors) {
  if (at.shape.dtype == DType::kBF16)
    start<__nv_bfloat16>(at, multiprocessors);
  else
    start<__half>(at, multiprocessors);
}

}  // namespace strake::cuda
