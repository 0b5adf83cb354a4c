// Attention of every width, dtype and format of the cache: plain and slow.
#include "ops/cuda/attention_call.h"
#include "ops/cuda/codes.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/reduce.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kMostColumns = 8;  // a thread's values
constexpr int64_t kMostWidth = kThreads * kMostColumns;

template <class T>
struct DenseRows {
  const T* elements;
  int width;
  __device__ DenseRows(const CachedRows& rows, const CodeFormat&, int row_width)
      : elements(static_cast<const T*>(rows.elements)), width(row_width) {}
  __device__ float operator()(int64_t row, int column) const {
    return to_float(elements[row * width + column]);
  }
};

template <class T>
struct CodeRows {
  CodedRows rows;
  const CodeFormat& format;
  int width;
  __device__ CodeRows(const CachedRows& from, const CodeFormat& as, int row_width)
      : rows{static_cast<const uint32_t*>(from.elements), from.scales, from.biases},
        format(as),
        width(row_width) {}
  __device__ float operator()(int64_t row, int column) const {
    return rounded<T>(decode(rows, format, row, width, column));
  }
};

// A block has one query row and one chunk, or, without room for partial results, all chunks.
template <class T, class Rows>
__global__ void __launch_bounds__(kThreads) attend_any_kernel(const AttentionCall call) {
  __shared__ float room[kWarp + 1];
  __shared__ float scores[kChunk];
  __shared__ int64_t slots[kChunk];  // -1: not seen
  float* const query = reinterpret_cast<float*>(dynamic_shared());
  begin_after_all();
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t row = blockIdx.x;
  const int head = static_cast<int>(row % call.heads);
  const int token_row = static_cast<int>(row / call.heads);
  const int sequence = token_row / call.tokens;
  int cached_head = 0;
  while (head >= group_of(call, cached_head).first + group_of(call, cached_head).count)
    ++cached_head;
  const Seen seen = seen_by(call, sequence, token_row % call.tokens);
  const int length = chunk_length(call.growing_chunks, seen.end);
  const int base = first_chunk(call, sequence, length);
  int chunk = seen.begin / length, end_chunk = (seen.end + length - 1) / length;
  if (call.partials != nullptr) {
    if (base + static_cast<int>(blockIdx.y) < chunk ||
        base + static_cast<int>(blockIdx.y) >= end_chunk)
      return;
    chunk = base + static_cast<int>(blockIdx.y);
    end_chunk = chunk + 1;
  }
  const int first_position = chunk * length;
  const int end_position = min(end_chunk * length, seen.end);

  const CachedSequence cache = call.caches[sequence];
  const Rows keys(cache.keys, call.key_format, call.width);
  const Rows values(cache.values, call.value_format, call.value_stride);
  const T* const q = static_cast<const T*>(call.q) + row * call.width;
  for (int i = threadIdx.x; i < call.width; i += kThreads) query[i] = to_float(q[i]);
  const float scale = score_scale(call, sequence, token_row % call.tokens);
  float largest = kLowest, total = 0;
  float mixed[kMostColumns] = {};
  for (int first = first_position; first < end_position; first += kChunk) {
    __syncthreads();  // scores and slots of the positions before have been read
    for (int i = threadIdx.x; i < kChunk; i += kThreads) {
      const int place = first + i;
      int64_t position = place < seen.begin || place >= end_position ? -1 : place;
      if (position >= 0 && call.selected_count > 0)
        position = call.selected[int64_t{token_row} * call.selected_count + place];
      slots[i] = position < 0 ? -1 : cached_head * cache.slots + position % cache.slots;
    }
    __syncthreads();
    for (int i = warp; i < kChunk; i += kThreads / 32) {
      float score = 0;
      if (slots[i] >= 0)
        for (int k = lane; k < call.width; k += 32) score += query[k] * keys(slots[i], k);
      score = warp_sum(score) * scale;
      if (lane == 0) scores[i] = slots[i] < 0 ? -INFINITY : score;
    }
    __syncthreads();
    float most = largest;
    for (int i = threadIdx.x; i < kChunk; i += kThreads) most = fmaxf(most, scores[i]);
    most = block_max(most, room);
    const float factor = exp2_fast(largest - most);
    largest = most;
    float sum = 0;
    for (int i = threadIdx.x; i < kChunk; i += kThreads) {
      scores[i] = exp2_fast(scores[i] - most);
      sum += scores[i];
    }
    total = total * factor + block_sum(sum, room);
#pragma unroll
    for (int c = 0; c < kMostColumns; ++c) {
      const int column = c * kThreads + threadIdx.x;
      if (column >= call.value_width) break;
      mixed[c] *= factor;
      for (int i = 0; i < kChunk; ++i)
        if (slots[i] >= 0) mixed[c] += scores[i] * values(slots[i], column);
    }
  }
  if (call.partials != nullptr) {
    const int64_t at = row * call.chunks + chunk - base;
    if (threadIdx.x == 0) call.partials[at] = {largest, total};
#pragma unroll
    for (int c = 0; c < kMostColumns; ++c) {
      const int column = c * kThreads + threadIdx.x;
      if (column < call.value_width)
        call.mixed[at * padded_width(call.value_width) + column] = mixed[c];
    }
    return;
  }
  if (call.sinks != nullptr) {
    const float sink = call.sinks[head] * kLog2E, most = fmaxf(sink, largest);
    const float factor = exp2_fast(largest - most);
    total = total * factor + exp2_fast(sink - most);
#pragma unroll
    for (int c = 0; c < kMostColumns; ++c) mixed[c] *= factor;
  }
#pragma unroll
  for (int c = 0; c < kMostColumns; ++c) {
    const int column = c * kThreads + threadIdx.x;
    if (column < call.value_width)
      static_cast<T*>(call.out)[row * call.value_width + column] = from_float<T>(mixed[c] / total);
  }
}

}  // namespace

void attend_any(const AttentionLaunch& at) {
  const AttentionCall& call = at.call;
  if (call.value_width > kMostWidth)
    throw Error(ErrorKind::kUnsupported, "attention: values of more than 1024 elements");
  const Launch how{"attention",
                   {static_cast<unsigned>(at.sequences * call.tokens * call.heads),
                    static_cast<unsigned>(call.partials != nullptr ? call.chunks : 1)},
                   kThreads,
                   static_cast<size_t>(call.width) * sizeof(float),
                   at.stream,
                   Order::kOverlapping};
  visit_floating(at.shape.dtype, [&]<class T>(T) {
    if (at.shape.key_format)
      launch(how, attend_any_kernel<T, CodeRows<T>>, call);
    else
      launch(how, attend_any_kernel<T, DenseRows<T>>, call);
  });
}

}  // namespace strake::cuda
