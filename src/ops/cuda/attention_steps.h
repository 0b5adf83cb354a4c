// What kernels with few query rows and grouped heads share: a warp's softmax over 64 positions, 16
// at a time, and how four of them become a chunk's. Who has which warp changes no bits. For device
// code.
#pragma once

#include <climits>

#include "ops/cuda/attention_call.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {

inline constexpr int kStepRows = 16;  // query rows
inline constexpr int kStepKeys = 16;  // positions
// What a softmax goes through step by step.
inline constexpr int kQuarterKeys = kChunk / kChunkQuarters;
inline constexpr int kQuarterSteps = kQuarterKeys / kStepKeys;

// Rows in shared memory, in elements.
template <int Width, int ValueWidth>
struct StepRoom {
  static constexpr int kPad = 8;  // rows begin in different banks
  static constexpr int kKeyRow = Width + kPad;
  static constexpr int kValueRow = ValueWidth + kPad;
  static constexpr int kQueries = kStepRows * kKeyRow;
  static constexpr int kKeys = kStepKeys * kKeyRow;
  static constexpr int kStage = kKeys + kStepKeys * kValueRow;
};

// Where a chunk of a cached head begins among a cache's rows: it lies in one piece in rings, too.
__device__ inline int64_t chunk_row(const CachedSequence& cache, int cached_head, int chunk) {
  const uint32_t slot = static_cast<uint32_t>(chunk) * kChunk % static_cast<uint32_t>(cache.slots);
  return cached_head * cache.slots + slot;
}

// A step's keys or values to shared memory by a warp's copies, zero where no row sees them. Without
// those below `settled`, which have been copied.
template <int Width, class T>
__device__ void copy_rows_of_step(const T* from, int position, const Seen& seen, T* to,
                                  int settled = INT_MIN) {
  constexpr int kUnits = Width / 8, kRow = StepRoom<Width, Width>::kKeyRow;
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = lane; i < kStepKeys * kUnits; i += 32) {
    const int row = i / kUnits, unit = i % kUnits;
    if (position + row < settled) continue;
    const bool there = position + row >= seen.begin && position + row < seen.end;
    copy_async(to + row * kRow + unit * 8, from + (there ? row * Width + unit * 8 : 0),
               there ? 16 : 0);
  }
}

// The same of those below `settled` alone.
template <int Width, class T>
__device__ void copy_settled_rows(const T* from, int position, int settled, T* to) {
  constexpr int kUnits = Width / 8, kRow = StepRoom<Width, Width>::kKeyRow;
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = lane; i < kStepKeys * kUnits; i += 32) {
    const int row = i / kUnits, unit = i % kUnits;
    if (position + row < settled)
      copy_async(to + row * kRow + unit * 8, from + row * Width + unit * 8, 16);
  }
}

// A lane's queries for the products of a step, where registers hold them, or where they lie.
template <class T, int Width>
class StepQueries {
 public:
  // From rows in shared memory.
  __device__ explicit StepQueries(const T* rows) {
    const int lane = threadIdx.x % 32;
    at_ = rows + lane % 16 * kRow + lane / 16 * 8;
    if constexpr (kHeld) {
#pragma unroll
      for (int k = 0; k < kDepth; ++k) ldmatrix(held_[k], at_ + k * 16);
    }
  }
  // Products with keys in shared memory: each lane's of rows g, g, g + 8, g + 8 and positions 2t,
  // 2t + 1, 2t, 2t + 1, and of those 8 later.
  __device__ void multiply(const T* keys, float (&scores)[2][4]) {
    const int lane = threadIdx.x % 32;
    const T* const key_at = keys + (lane % 8 + lane / 16 * 8) * kRow + lane / 8 % 2 * 8;
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      uint32_t b[4];
      ldmatrix(b, key_at + k * 16);
      if constexpr (!kHeld) ldmatrix(held_[0], at_ + k * 16);
      const uint32_t(&a)[4] = held_[kHeld ? k : 0];
      mma<T>(scores[0], a, b[0], b[1]);
      mma<T>(scores[1], a, b[2], b[3]);
    }
  }

 private:
  static constexpr int kDepth = Width / 16;  // steps along the head
  static constexpr bool kHeld = Width <= 128;
  static constexpr int kRow = StepRoom<Width, Width>::kKeyRow;
  const T* at_;
  uint32_t held_[kHeld ? kDepth : 1][4];
};

// A softmax of a lane's rows, lane / 4 and 8 after.
struct StepSoftmax {
  Seen sees[2];
  float scale[2];
  float largest[2] = {kLowest, kLowest};
  float total[2] = {};

  __device__ StepSoftmax(const AttentionCall& call, int sequence, const Group& group, int first_row,
                         int rows) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + min(lane / 4 + 8 * half, rows - 1);
      const int token = query_row(group, row).token;
      sees[half] = seen_by(call, sequence, token);
      scale[half] = score_scale(call, sequence, token);
    }
  }
  // Products of the positions from `position` on become their weights; sums so far are to be
  // multiplied with the factors.
  __device__ void add(int position, float (&scores)[2][4], float (&factors)[2]) {
    const int lane = threadIdx.x % 32;
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
      factors[half] = exp2_fast(largest[half] - most);
      largest[half] = most;
      total[half] *= factors[half];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float& score = scores[i / 2][2 * half + i % 2];
        score = exp2_fast(score - most);
        total[half] += score;
      }
    }
  }
  // Of all lanes of a row.
  __device__ Partial result(int half) const {
    float sum = total[half];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    return {largest[half], sum};
  }
};

// Weights as the A of products with values.
template <class T>
struct StepWeights {
  uint32_t a[4];

  __device__ explicit StepWeights(const float (&scores)[2][4])
      : a{pack<T>(scores[0][0], scores[0][1]), pack<T>(scores[0][2], scores[0][3]),
          pack<T>(scores[1][0], scores[1][1]), pack<T>(scores[1][2], scores[1][3])} {}
  // Adds to 16 columns' sums, after multiplying them. `values` are the columns in shared memory.
  template <int ValueWidth>
  __device__ void mix(const T* values, const float (&factors)[2], float (&mixed)[2][4]) const {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (auto& four : mixed)
#pragma unroll
      for (int i = 0; i < 4; ++i) four[i] *= factors[i / 2];
    uint32_t b[4];
    ldmatrix_transposed(
        b, values + lane % 16 * StepRoom<ValueWidth, ValueWidth>::kValueRow + lane / 16 * 8);
    mma<T>(mixed[0], a, b[0], b[1]);
    mma<T>(mixed[1], a, b[2], b[3]);
  }
};

// Partial results that become one, in order.
struct JoinedSums {
  float most;  // of their largest scores
  float total = 0;
  float4 sum{};

  __device__ void add(const Partial& partial, const float4& values) {
    const float factor = exp2_fast(partial.largest - most);
    total = fmaf(factor, partial.total, total);
    sum.x = fmaf(factor, values.x, sum.x);
    sum.y = fmaf(factor, values.y, sum.y);
    sum.z = fmaf(factor, values.z, sum.z);
    sum.w = fmaf(factor, values.w, sum.w);
  }
};

// Blocks for the query rows of all cached heads, head after head.
inline unsigned tiles_of_rows(const AttentionCall& call) {
  const int tiles = (call.tokens * call.group + kStepRows - 1) / kStepRows;
  return static_cast<unsigned>(call.cached_heads * tiles);
}

// Calls start<T, Width, ValueWidth>() for a shape that such kernels take. Returns whether it is
// one.
template <class T, class Start>
bool start_with_widths(const AttentionShape& shape, const Start& start) {
  const auto is = [&](int width, int value_width) {
    return shape.width == width && shape.value_width == value_width;
  };
  if (is(64, 64)) return start.template operator()<T, 64, 64>(), true;
  if (is(96, 96)) return start.template operator()<T, 96, 96>(), true;
  if (is(128, 128)) return start.template operator()<T, 128, 128>(), true;
  if (is(192, 128)) return start.template operator()<T, 192, 128>(), true;
  if (is(192, 192)) return start.template operator()<T, 192, 192>(), true;
  if (is(256, 256)) return start.template operator()<T, 256, 256>(), true;
  return false;
}
template <class Start>
bool start_with_steps(const AttentionShape& shape, const Start& start) {
  if (shape.key_format || shape.selected > 0 || shape.value_stride != shape.value_width)
    return false;
  if (shape.dtype == DType::kBF16) return start_with_widths<__nv_bfloat16>(shape, start);
  if (shape.dtype == DType::kF16) return start_with_widths<__half>(shape, start);
  return false;
}

}  // namespace strake::cuda
