#include "ops/cuda/normed_heads.h"

#include <algorithm>

#include "ops/cuda/codes.h"
#include "ops/cuda/head_part.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/row_norm.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = kMostNormThreads;
// Up to this width both norms sum with as many threads as a block has here.
constexpr int64_t kMostWidth = 8 * kThreads;

// Blocks count in 32 bits, in which division takes a third of the time.
__host__ __device__ unsigned blocks_of(const NormedHeads& heads) {
  return static_cast<unsigned>(heads.rows.tokens) * static_cast<unsigned>(heads.rows.sequences) *
         static_cast<unsigned>(heads.job.from.heads);
}

// Which head a block has.
struct BlockRow {
  int which = 0;
  unsigned row;
  unsigned head;

  __device__ explicit BlockRow(const NormedHeadJobs& jobs) {
    unsigned at = blockIdx.x;
    while (at >= blocks_of(jobs.jobs[which])) at -= blocks_of(jobs.jobs[which++]);
    const auto heads = static_cast<unsigned>(jobs.jobs[which].job.from.heads);
    row = at / heads;
    head = at - row * heads;
  }
};

// Where a block's shared memory has what. The row is in float32, the norm in its own types.
struct RowRoom {
  static constexpr int kSums = 3;  // of all warps, that a norm makes
  static constexpr int kSumBytes = kSums * kMostNormWarps * 4;
  static_assert(kSumBytes % 16 == 0);
  int weight_at;
  int bias_at;
  int frequencies_at;
  int bytes;

  __host__ __device__ explicit RowRoom(const NormedHeads& heads) {
    const auto width = static_cast<int>(heads.job.from.width);
    weight_at = kSumBytes + width * 4;
    bias_at = weight_at + (heads.norm.weight == nullptr ? 0 : width * bytes_of(heads.norm.dtype));
    frequencies_at =
        bias_at + (heads.norm.bias == nullptr ? 0 : width * bytes_of(heads.norm.bias_dtype));
    bytes = frequencies_at + static_cast<int>(heads.job.rope.pairs) * 4;
  }

 private:
  static __host__ __device__ int bytes_of(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }
};

// A row in shared memory becomes its norm, as rms_norm() has it.
template <class Weight>
__device__ void norm_by_root(float* row, int width, const NormWeight& norm, float* room) {
  const int threads = rms_norm_threads(width);
  const auto thread = static_cast<int>(threadIdx.x);
  auto* const fours = reinterpret_cast<float4*>(row);
  float squares = 0;
  if (thread < threads)
#pragma unroll 1
    for (int i = thread; i < width / 4; i += threads) {
      const float4 four = fours[i];
      for (const float value : {four.x, four.y, four.z, four.w})
        squares = fmaf(value, value, squares);
    }
  const float mean = row_sum(squares, threads, room) / static_cast<float>(width);
  const float factor = 1.0f / sqrtf(mean + norm.eps);
  const auto* const weight = static_cast<const Weight*>(norm.weight);
#pragma unroll 1
  for (int i = thread; i < width / 4; i += kThreads) {
    float4 four = fours[i];
    four.x = four.x * factor * to_float(weight[4 * i]);
    four.y = four.y * factor * to_float(weight[4 * i + 1]);
    four.z = four.z * factor * to_float(weight[4 * i + 2]);
    four.w = four.w * factor * to_float(weight[4 * i + 3]);
    fours[i] = four;
  }
}

// The same as layer_norm() has it.
__device__ void norm_by_layer(float* row, int width, const NormWeight& norm, float* room) {
  const int threads = rms_norm_threads(width);
  const auto thread = static_cast<int>(threadIdx.x);
  const auto count = static_cast<float>(width);
  float mean = 0, squares = 0;
  // The second time what rounding left of the mean.
#pragma unroll 1
  for (int round = 0; round < RowRoom::kSums; ++round, room += kMostNormWarps) {
    float own = 0;
    if (thread < threads)
#pragma unroll 1
      for (int i = thread; i < width; i += threads) {
        const float rest = row[i] - mean;
        own = round < 2 ? own + rest : fmaf(rest, rest, own);
      }
    const float sum = row_sum(own, threads, room);
    if (round < 2)
      mean += sum / count;
    else
      squares = sum;
  }
  const float factor = 1.0f / sqrtf(squares / count + norm.eps);
#pragma unroll 1
  for (int i = thread; i < width; i += kThreads)
    row[i] = layer_normed(row[i] - mean, factor, load_floating(norm.weight, norm.dtype, i),
                          load_floating(norm.bias, norm.bias_dtype, i));
}

__device__ void norm_row(float* row, int width, const NormWeight& norm, float* room) {
  if (norm.bias != nullptr) return norm_by_layer(row, width, norm, room);
  if (norm.dtype == DType::kF32) return norm_by_root<float>(row, width, norm, room);
  if (norm.dtype == DType::kF16) return norm_by_root<__half>(row, width, norm, room);
  norm_by_root<__nv_bfloat16>(row, width, norm, room);
}

template <class T>
__global__ void __launch_bounds__(kThreads, kLeastNormBlocks)
    place_normed_kernel(const NormedHeadJobs jobs) {
  const BlockRow own(jobs);
  const NormedHeads& heads = jobs.jobs[own.which];
  const HeadJob& job = heads.job;
  const auto width = static_cast<int>(job.from.width);
  const RowRoom room(heads);
  auto* const sums = reinterpret_cast<float*>(dynamic_shared());
  auto* const row = reinterpret_cast<float*>(dynamic_shared() + RowRoom::kSumBytes);
  auto* const frequencies = reinterpret_cast<float*>(dynamic_shared() + room.frequencies_at);
  NormWeight norm = heads.norm;
  Rope rope = job.rope;
  // None of this comes from the kernel before, nor do weights of the product behind this one.
  bring(dynamic_shared() + room.weight_at, norm.weight, room.bias_at - room.weight_at);
  bring(dynamic_shared() + room.bias_at, norm.bias, room.frequencies_at - room.bias_at);
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < static_cast<int>(rope.pairs); i += kThreads)
    frequencies[i] = rope.frequencies[i];
  rope.frequencies = frequencies;
  const Place place(heads.rows, own.row);
  const HeadTarget target(heads.caches, job, place.sequence);
  // Attention brings what was stored before this while this still runs: see settled_positions().
  begin_after_all();
  bring(row,
        static_cast<const float*>(job.from.data) + own.row * job.from.row_stride +
            own.head * job.from.head_stride,
        width * 4);
  const uint32_t position = place.position(heads.rows);
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();
  T* const to = static_cast<T*>(target.data) + target.begin(job, own.row, own.head, position);
  if (norm.weight != nullptr) {
    norm.weight = dynamic_shared() + room.weight_at;
    if (norm.bias != nullptr) norm.bias = dynamic_shared() + room.bias_at;
    norm_row(row, width, norm, sums);
    __syncthreads();
  }
  const auto thread = static_cast<int>(threadIdx.x);
  if (rope.pairs > 0) {
#pragma unroll 1
    for (int i = thread; i < width - static_cast<int>(rope.pairs); i += kThreads)
      HeadPart<float, T>(row, rope, i).put(to, rope, position);
    return;
  }
#pragma unroll 4
  for (int i = thread; i < width; i += kThreads) to[i] = from_float<T>(row[i]);
}

bool is_whole(const void* at) { return reinterpret_cast<uintptr_t>(at) % 16 == 0; }

}  // namespace

bool can_place(const NormedHeads& heads) {
  const Heads& from = heads.job.from;
  return from.width % 8 == 0 && from.width <= kMostWidth && from.row_stride % 4 == 0 &&
         from.head_stride % 4 == 0 && is_whole(from.data) && is_whole(heads.norm.weight) &&
         is_whole(heads.norm.bias);
}

void place_normed_heads(const NormedHeadJobs& jobs, DType dtype, cudaStream_t stream) {
  unsigned blocks = 0;
  int shared = 0;
  for (int i = 0; i < jobs.count; ++i) {
    blocks += blocks_of(jobs.jobs[i]);
    shared = std::max(shared, RowRoom(jobs.jobs[i]).bytes);
  }
  if (blocks == 0) return;
  visit_floating(dtype, [&]<class T>(T) {
    launch({"place_normed_heads", blocks, kThreads, static_cast<size_t>(shared), stream,
            Order::kOverlapping},
           place_normed_kernel<T>, jobs);
  });
}

}  // namespace strake::cuda
