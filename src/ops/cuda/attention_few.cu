// A few query rows over a long cache, at the memory's speed.
//
// A block has 16 query rows of one key-value head and a chunk of 256 positions. Each of its four
// warps streams 64 of them through shared memory of its own, 16 at a time, and keeps a softmax of
// its own; the four meet at the end, in order.
#include "ops/cuda/attention_call.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kRows = 16;
constexpr int kKeys = 16;  // positions of a step
constexpr int kWarpPositions = kChunk / kWarps;
constexpr int kSteps = kWarpPositions / kKeys;
constexpr int kPad = 8;  // elements: rows begin in different banks

template <class T, int Width, int ValueWidth>
struct Few {
  static constexpr int kStages = Width <= 128 ? 2 : 1;
  static constexpr int kKeyRow = Width + kPad;
  static constexpr int kValueRow = ValueWidth + kPad;
  static constexpr int kStage = kKeys * (kKeyRow + kValueRow);
  static constexpr int kWarpRoom = kStages * kStage;  // elements
  static_assert(kWarpRoom * sizeof(T) >= kRows * ValueWidth * sizeof(float));
  static constexpr size_t kShared = (kRows * kKeyRow + kWarps * kWarpRoom) * sizeof(T);
  static constexpr bool kHoldsQueries = Width <= 128;
};

// Copies of a step's keys and values to a stage, zero where no row sees them.
template <class T, int Width, int ValueWidth>
__device__ void copy_step(const T* keys, const T* values, int position, const Seen& seen,
                          T* stage) {
  using Shape = Few<T, Width, ValueWidth>;
  constexpr int kKeyUnits = Width / 8, kValueUnits = ValueWidth / 8;
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = lane; i < kKeys * kKeyUnits; i += 32) {
    const int row = i / kKeyUnits, unit = i % kKeyUnits;
    const bool there = position + row >= seen.begin && position + row < seen.end;
    copy_async(stage + row * Shape::kKeyRow + unit * 8, keys + (there ? row * Width + unit * 8 : 0),
               there ? 16 : 0);
  }
  T* const to = stage + kKeys * Shape::kKeyRow;
#pragma unroll
  for (int i = lane; i < kKeys * kValueUnits; i += 32) {
    const int row = i / kValueUnits, unit = i % kValueUnits;
    const bool there = position + row >= seen.begin && position + row < seen.end;
    copy_async(to + row * Shape::kValueRow + unit * 8,
               values + (there ? row * ValueWidth + unit * 8 : 0), there ? 16 : 0);
  }
}

template <class T, int Width, int ValueWidth>
__global__ void __launch_bounds__(kThreads) attend_few_kernel(const AttentionCall call) {
  using Shape = Few<T, Width, ValueWidth>;
  constexpr int kDepth = Width / 16;  // steps along the head
  constexpr int kColumns = ValueWidth / 8;
  __shared__ float largest_of[kWarps][kRows], total_of[kWarps][kRows];
  T* const queries = reinterpret_cast<T*>(dynamic_shared());
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int sequence = blockIdx.z;
  const int cached_head = blockIdx.y % call.cached_heads;
  const CachedSequence cache = call.caches[sequence];
  begin_after_all();
  const int first_row = blockIdx.y / call.cached_heads * kRows;
  const Group group = group_of(call, cached_head);
  const int rows = min(kRows, call.tokens * group.count - first_row);
  if (rows <= 0) return;
  const int chunk = first_chunk(call, sequence, kChunk) + blockIdx.x;
  const Seen seen{seen_by(call, sequence, query_row(group, first_row).token).begin,
                  seen_by(call, sequence, query_row(group, first_row + rows - 1).token).end};
  if (chunk * kChunk >= seen.end || (chunk + 1) * kChunk <= seen.begin) return;

  // This warp's positions of the chunk, which lies in one piece in rings, too.
  const int first = chunk * kChunk + warp * kWarpPositions;
  const int64_t slot =
      cached_head * cache.slots + int64_t{chunk} * kChunk % cache.slots + warp * kWarpPositions;
  const T* const keys = static_cast<const T*>(cache.keys.elements) + slot * Width;
  const T* const values = static_cast<const T*>(cache.values.elements) + slot * ValueWidth;
  T* const room = queries + kRows * Shape::kKeyRow + warp * Shape::kWarpRoom;
  const auto copy = [&](int step) {
    const int position = first + step * kKeys;
    if (step < kSteps && position < seen.end && position + kKeys > seen.begin)
      copy_step<T, Width, ValueWidth>(keys + step * kKeys * Width,
                                      values + step * kKeys * ValueWidth, position, seen,
                                      room + step % Shape::kStages * Shape::kStage);
    commit_copies();
  };
#pragma unroll
  for (int step = 0; step < Shape::kStages; ++step) copy(step);

  for (int i = threadIdx.x; i < kRows * Width / 8; i += kThreads) {
    const int row = i / (Width / 8), unit = i % (Width / 8);
    uint4 bits{};
    if (row < rows)
      bits = *reinterpret_cast<const uint4*>(
          static_cast<const T*>(call.q) +
          query_index(call, sequence, query_row(group, first_row + row)) * Width + unit * 8);
    *reinterpret_cast<uint4*>(queries + row * Shape::kKeyRow + unit * 8) = bits;
  }
  __syncthreads();
  const T* const query_at = queries + lane % 16 * Shape::kKeyRow + lane / 16 * 8;
  uint32_t held[Shape::kHoldsQueries ? kDepth : 1][4];
  if constexpr (Shape::kHoldsQueries) {
#pragma unroll
    for (int k = 0; k < kDepth; ++k) ldmatrix(held[k], query_at + k * 16);
  }
  // The thread's rows of each fragment are lane / 4 and 8 after.
  Seen sees[2];
  float scale[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = lane / 4 + 8 * half;
    const int token = query_row(group, first_row + min(row, rows - 1)).token;
    sees[half] = seen_by(call, sequence, token);
    scale[half] = score_scale(call, sequence, token);
  }

  float largest[2] = {kLowest, kLowest}, total[2] = {};
  float mixed[kColumns][4] = {};
  for (int step = 0; step < kSteps; ++step) {
    wait_for_copies<Shape::kStages - 1>();
    __syncwarp();
    const int position = first + step * kKeys;
    if (position < seen.end && position + kKeys > seen.begin) {
      const T* const stage = room + step % Shape::kStages * Shape::kStage;
      float scores[2][4] = {};
      const T* const key_at =
          stage + (lane % 8 + lane / 16 * 8) * Shape::kKeyRow + lane / 8 % 2 * 8;
#pragma unroll
      for (int k = 0; k < kDepth; ++k) {
        uint32_t b[4];
        ldmatrix(b, key_at + k * 16);
        if constexpr (Shape::kHoldsQueries) {
          mma<T>(scores[0], held[k], b[0], b[1]);
          mma<T>(scores[1], held[k], b[2], b[3]);
        } else {
          ldmatrix(held[0], query_at + k * 16);
          mma<T>(scores[0], held[0], b[0], b[1]);
          mma<T>(scores[1], held[0], b[2], b[3]);
        }
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float most = largest[half];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          float& score = scores[i / 2][2 * half + i % 2];
          const int at = position + i / 2 * 8 + lane % 4 * 2 + i % 2;
          score = at >= sees[half].begin && at < sees[half].end ? score * scale[half] : -INFINITY;
          most = fmaxf(most, score);
        }
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
        const float factor = exp2_fast(largest[half] - most);
        largest[half] = most;
        total[half] *= factor;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          float& score = scores[i / 2][2 * half + i % 2];
          score = exp2_fast(score - most);
          total[half] += score;
        }
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
          mixed[c][2 * half] *= factor;
          mixed[c][2 * half + 1] *= factor;
        }
      }
      const uint32_t weights[4] = {
          pack<T>(scores[0][0], scores[0][1]), pack<T>(scores[0][2], scores[0][3]),
          pack<T>(scores[1][0], scores[1][1]), pack<T>(scores[1][2], scores[1][3])};
      const T* const value_at =
          stage + kKeys * Shape::kKeyRow + lane % 16 * Shape::kValueRow + lane / 16 * 8;
#pragma unroll
      for (int c = 0; c < kColumns; c += 2) {
        uint32_t b[4];
        ldmatrix_transposed(b, value_at + c * 8);
        mma<T>(mixed[c], weights, b[0], b[1]);
        mma<T>(mixed[c + 1], weights, b[2], b[3]);
      }
    }
    __syncwarp();
    copy(step + Shape::kStages);
  }

  // The warps' sums meet in the room of the copies, which all have been used.
  wait_for_copies<0>();
  __syncwarp();
  float* const sums = reinterpret_cast<float*>(room);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = total[half];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    const int row = lane / 4 + 8 * half;
    if (lane % 4 == 0) {
      largest_of[warp][row] = largest[half];
      total_of[warp][row] = sum;
    }
    if (row < rows) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c)
        *reinterpret_cast<float2*>(sums + row * ValueWidth + c * 8 + lane % 4 * 2) =
            float2{mixed[c][2 * half], mixed[c][2 * half + 1]};
    }
  }
  __syncthreads();
  const int kept = chunk - first_chunk(call, sequence, kChunk);
  for (int i = threadIdx.x; i < rows * (ValueWidth / 4); i += kThreads) {
    const int row = i / (ValueWidth / 4), column = i % (ValueWidth / 4) * 4;
    float most = largest_of[0][row];
    for (int w = 1; w < kWarps; ++w) most = fmaxf(most, largest_of[w][row]);
    float4 sum{};
    float all = 0;
    for (int w = 0; w < kWarps; ++w) {
      const float factor = exp2_fast(largest_of[w][row] - most);
      const float4 part = *reinterpret_cast<const float4*>(
          reinterpret_cast<const float*>(queries + kRows * Shape::kKeyRow + w * Shape::kWarpRoom) +
          row * ValueWidth + column);
      all += factor * total_of[w][row];
      sum.x += factor * part.x;
      sum.y += factor * part.y;
      sum.z += factor * part.z;
      sum.w += factor * part.w;
    }
    const int64_t at =
        query_index(call, sequence, query_row(group, first_row + row)) * call.chunks + kept;
    *reinterpret_cast<float4*>(call.mixed + at * ValueWidth + column) = sum;
    if (column == 0) call.partials[at] = {most, all};
  }
}

template <class T, int Width, int ValueWidth>
bool start(const AttentionLaunch& at) {
  const AttentionCall& call = at.call;
  const int row_tiles = (call.tokens * call.group + kRows - 1) / kRows;
  launch({"attention of few rows",
          {static_cast<unsigned>(call.chunks), static_cast<unsigned>(call.cached_heads * row_tiles),
           static_cast<unsigned>(at.sequences)},
          kThreads,
          Few<T, Width, ValueWidth>::kShared,
          at.stream,
          Order::kOverlapping},
         attend_few_kernel<T, Width, ValueWidth>, call);
  return true;
}

template <class T>
bool start_of(const AttentionLaunch& at) {
  const AttentionShape& shape = at.shape;
  if (shape.value_stride != shape.value_width) return false;
  const auto is = [&](int width, int value_width) {
    return shape.width == width && shape.value_width == value_width;
  };
  if (is(64, 64)) return start<T, 64, 64>(at);
  if (is(96, 96)) return start<T, 96, 96>(at);
  if (is(128, 128)) return start<T, 128, 128>(at);
  if (is(192, 128)) return start<T, 192, 128>(at);
  if (is(192, 192)) return start<T, 192, 192>(at);
  if (is(256, 256)) return start<T, 256, 256>(at);
  return false;
}

}  // namespace

bool attend_few(const AttentionLaunch& at) {
  if (at.shape.key_format || at.shape.selected > 0) return false;
  if (at.shape.dtype == DType::kBF16) return start_of<__nv_bfloat16>(at);
  if (at.shape.dtype == DType::kF16) return start_of<__half>(at);
  return false;
}

}  // namespace strake::cuda
