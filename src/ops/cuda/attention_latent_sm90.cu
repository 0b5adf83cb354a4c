// Attention to latent vectors with a warpgroup's products (sm_90a).
//
// A block has 64 query heads of one token and goes through positions 64 at a time. The first of its
// two warpgroups scores them, and passes weights and the heads' new factors through shared memory;
// both sum the values, half of the columns each. The second one brings the positions.
#include "ops/cuda/attention_call.h"
#include "ops/cuda/latent_rows.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/wgmma_sm90.h"

namespace strake::cuda {
namespace {

constexpr int kGroup = 128;  // a warpgroup
constexpr int kThreads = 2 * kGroup;
constexpr int kHeads = kLatentHeads;
constexpr int kKeys = 64;                             // positions of a tile
constexpr int kSlice = 64 * 64;                       // elements: 64 columns of a tile
constexpr int kSlices = kLatentWidth / 64;            // of a tile
constexpr int kTile = kSlices * kSlice;               // elements
constexpr int kValueSlices = kLatentValues / 64 / 2;  // of a warpgroup
constexpr uint32_t kSliceBytes = kSlice * 2;
constexpr size_t kShared = (size_t{3} * kTile + kSlice) * 2;

// Where a 16-byte unit of a row of 64 columns stands, in elements: see swizzled_rows().
__device__ constexpr int unit_at(int row, int unit) { return row * 64 + (unit ^ row % 8) * 8; }

// 64 rows to a tile by a warpgroup: eight threads a row, 16 rows at a time. `from` gives a row's
// elements, or null: zeros.
template <class T, class From>
__device__ __forceinline__ void copy_rows(T* tile, const T* any, const From& from) {
  const int thread = threadIdx.x % kGroup, unit = thread % 8;
#pragma unroll
  for (int row = thread / 8; row < 64; row += kGroup / 8) {
    const T* const elements = from(row);
    const T* const source = (elements == nullptr ? any : elements) + unit * 8;
    T* const to = tile + unit_at(row, unit);
#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice)
      copy_async(to + slice * kSlice, source + slice * 64, elements == nullptr ? 0 : 16);
  }
}

// What this thread wrote to shared memory becomes visible to products, once it has met their
// threads at a barrier.
__device__ __forceinline__ void show_to_products() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// A thread's part of 64 heads' softmax: heads `row` and `row` + 8.
struct HeadSums {
  float largest[2] = {kLowest, kLowest};
  float total[2] = {};
};

// From scores to weights, which begin at `weights`. The heads' factors are those of their sums so
// far. `there` has a bit for each of the thread's 16 columns.
template <class T>
__device__ __forceinline__ void weigh(float (&scores)[32], float scale, uint32_t there,
                                      HeadSums& sums, T* weights, float* factors) {
  const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
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
    const float factor = exp2_fast(sums.largest[half] - most);
    sums.largest[half] = most;
    sums.total[half] *= factor;
    const int head = row + 8 * half;
    if (lane % 4 == 0) factors[head] = factor;
#pragma unroll
    for (int n = 0; n < 8; ++n) {
      const float x = exp2_fast(scores[n * 4 + half * 2] - most);
      const float y = exp2_fast(scores[n * 4 + half * 2 + 1] - most);
      sums.total[half] += x + y;
      *reinterpret_cast<uint32_t*>(weights + unit_at(head, n) + lane % 4 * 2) = pack<T>(x, y);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1) attend_latent_sm90_kernel(const AttentionCall call) {
  extern __shared__ __align__(1024) unsigned char swizzled[];
  __shared__ float factors[kHeads], largest_of[kHeads], total_of[kHeads];
  T* const queries = reinterpret_cast<T*>(swizzled);
  T* const tiles = queries + kTile;
  T* const weights = tiles + 2 * kTile;
  bring_latents<T>(call, 2 * kKeys);
  begin_after_all();
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
  const int group = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / kGroup, 0);
  const int own_row = warp * 16 + lane / 4;  // and 8 after
  const LatentRow row(call);
  if (row.begin >= row.end) return;
  const T* const cached = static_cast<const T*>(row.cached);
  const auto copy_tile = [&](int first) {
    if (first < row.end)
      copy_rows(tiles + (first - row.begin) / kKeys % 2 * kTile, cached, [&](int key) {
        const int position = row.position_of(first + key);
        return position < 0 ? nullptr : cached + int64_t{position} * kLatentWidth;
      });
    commit_copies();
  };
  if (group == 1) {
    copy_tile(row.begin);
    copy_tile(row.begin + kKeys);
  } else {
    const T* const q = row.query<T>(call, 0);
    copy_rows(queries, q, [&](int head) {
      return row.first_head + head < call.heads ? q + head * kLatentWidth : nullptr;
    });
    commit_copies();
  }

  const float scale = score_scale(call, row.sequence, row.token);
  const uint64_t query_rows = swizzled_rows(shared_address(queries));
  const uint64_t weight_rows = swizzled_rows(shared_address(weights));
  HeadSums sums;  // of the first warpgroup
  float mixed[128];
  for (int first = row.begin; first < row.end; first += kKeys) {
    if (group == 1)
      wait_for_copies<1>();
    else
      wait_for_copies<0>();
    show_to_products();
    __syncthreads();
    T* const tile = tiles + (first - row.begin) / kKeys % 2 * kTile;
    if (group == 0) {
      const uint64_t key_rows = swizzled_rows(shared_address(tile));
      float scores[32];
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < kLatentWidth / 16; ++k) {
        const uint64_t at = (k / 4 * kSliceBytes + k % 4 * 32) >> 4;
        wgmma_shared<T>(scores, query_rows + at, key_rows + at, k > 0);
      }
      wgmma_commit();
      uint32_t there = 0;
#pragma unroll
      for (int i = 0; i < 16; ++i) {
        const int place = first + i / 2 * 8 + lane % 4 * 2 + i % 2;
        there |= static_cast<uint32_t>(row.position_of(place) >= 0) << i;
      }
      wgmma_wait<0>();
      pin(scores);
      weigh(scores, scale, there, sums, weights, factors);
      show_to_products();
    }
    __syncthreads();
    const bool begun = first > row.begin;
    if (begun) {
      const float low = factors[own_row], high = factors[own_row + 8];
#pragma unroll
      for (int i = 0; i < 128; ++i) mixed[i] *= i % 4 < 2 ? low : high;
    }
    pin(mixed);
    const uint64_t value_rows =
        turned_rows(shared_address(tile + group * kValueSlices * kSlice), kSliceBytes);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k)
      wgmma_turned<T>(mixed, weight_rows + k * 2, value_rows + k * (16 * 128 >> 4), begun || k > 0);
    wgmma_commit();
    wgmma_wait<0>();
    pin(mixed);
    if (first + kKeys >= row.end) break;
    __syncthreads();  // the tile and the weights have been used
    if (group == 1) copy_tile(first + 2 * kKeys);
  }

  if (group == 0) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = sums.total[half];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      if (lane % 4 == 0) {
        largest_of[own_row + 8 * half] = sums.largest[half];
        total_of[own_row + 8 * half] = sum;
      }
    }
  }
  __syncthreads();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int head = own_row + 8 * half;
    if (row.first_head + head >= call.heads) continue;
    const LatentResult<T> result(call, row, head, {largest_of[head], total_of[head]});
    if (group == 0 && lane % 4 == 0) result.put_partial();
#pragma unroll
    for (int i = 0; i < 32; ++i)
      result.put(group * (kLatentValues / 2) + i * 8 + lane % 4 * 2, mixed[i * 4 + half * 2],
                 mixed[i * 4 + half * 2 + 1]);
  }
}

}  // namespace

void attend_latent_sm90(const AttentionLaunch& at) {
  const AttentionCall& call = at.call;
  const Launch how{"latent attention", latent_grid(at),    kThreads, kShared,
                   at.stream,          Order::kOverlapping};
  if (at.shape.dtype == DType::kBF16)
    launch(how, attend_latent_sm90_kernel<__nv_bfloat16>, call);
  else
    launch(how, attend_latent_sm90_kernel<__half>, call);
}

}  // namespace strake::cuda
