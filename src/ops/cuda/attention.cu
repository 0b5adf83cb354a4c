// Which form of attention a call takes, and how chunks' partial results combine.
#include "ops/cuda/attention.h"

#include <algorithm>

#include "ops/cuda/attention_steps.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/reduce.h"

namespace strake::cuda {
namespace {

constexpr int kColumns = 32;  // of a block: four a thread
constexpr int kEarly = 4;     // chunks of a thread

// Of the block. Where chunks are at most so many, no thread is without one: the GPU has room for
// the blocks of 64 heads at once.
constexpr int kThreads = 256;
constexpr int kLatentThreads = kMostLatentChunks / kEarly * (kColumns / 4);

// A block has a row's columns [32 y, 32 y + 32). Each of `kParts` threads sums every kParts-th
// chunk, then the four of a warp meet, then the warps, in order.
template <class T, int kBlockThreads>
__global__ void __launch_bounds__(kBlockThreads) combine_kernel(const AttentionCall call) {
  constexpr int kWarps = kBlockThreads / 32;
  constexpr int kParts = kBlockThreads / (kColumns / 4);  // threads that share a column
  __shared__ float largest_of[kWarps], total_of[kWarps];
  __shared__ float4 sums[kWarps][kColumns / 4];
  let_successor_start();
  const int64_t row = blockIdx.x;  // of [rows, heads]
  const int head = static_cast<int>(row % call.heads);
  const int token_row = static_cast<int>(row / call.heads);
  const int sequence = token_row / call.tokens;
  const Seen seen = seen_by(call, sequence, token_row % call.tokens);
  const int length = chunk_length(call.growing_chunks, seen.end);
  const int first = seen.begin / length;
  const int count = (seen.end + length - 1) / length - first;
  const int64_t at = row * call.chunks + first - first_chunk(call, sequence, length);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int quad = threadIdx.x % (kColumns / 4), own = threadIdx.x / (kColumns / 4);
  const int stride = padded_width(call.value_width);
  const int column = blockIdx.y * kColumns + quad * 4;
  const float* const mixed = call.mixed + at * stride + column;
  const auto sums_of = [&](int chunk) {
    return chunk < count ? call.partials[at + chunk] : Partial{kLowest, 0};
  };
  const auto values_of = [&](int chunk) {
    return chunk < count && column < stride
               ? *reinterpret_cast<const float4*>(mixed + int64_t{chunk} * stride)
               : float4{};
  };
  const float sink = call.sinks == nullptr ? kLowest : call.sinks[head] * kLog2E;
  wait_for_predecessor();

  Partial early[kEarly];
  float4 early_values[kEarly];
#pragma unroll
  for (int i = 0; i < kEarly; ++i) early[i] = sums_of(own + i * kParts);
#pragma unroll
  for (int i = 0; i < kEarly; ++i) early_values[i] = values_of(own + i * kParts);
  float most = sink;
#pragma unroll
  for (int i = 0; i < kEarly; ++i) most = fmaxf(most, early[i].largest);
  for (int chunk = own + kEarly * kParts; chunk < count; chunk += kParts)
    most = fmaxf(most, sums_of(chunk).largest);
  most = warp_max(most);
  if (lane == 0) largest_of[warp] = most;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kWarps; ++i) most = fmaxf(most, largest_of[i]);

  JoinedSums joined{most};
#pragma unroll
  for (int i = 0; i < kEarly; ++i) joined.add(early[i], early_values[i]);
#pragma unroll 4
  for (int chunk = own + kEarly * kParts; chunk < count; chunk += kParts)
    joined.add(sums_of(chunk), values_of(chunk));
  float total = joined.total;
  float4 sum = joined.sum;
#pragma unroll
  for (int mask = kColumns / 4; mask < 32; mask *= 2) {
    total += __shfl_xor_sync(0xffffffffu, total, mask);
    sum.x += __shfl_xor_sync(0xffffffffu, sum.x, mask);
    sum.y += __shfl_xor_sync(0xffffffffu, sum.y, mask);
    sum.z += __shfl_xor_sync(0xffffffffu, sum.z, mask);
    sum.w += __shfl_xor_sync(0xffffffffu, sum.w, mask);
  }
  if (lane < kColumns / 4) sums[warp][lane] = sum;
  if (lane == 0) total_of[warp] = total;
  __syncthreads();
  const int result_column = blockIdx.y * kColumns + threadIdx.x;
  if (threadIdx.x >= kColumns || result_column >= call.value_width) return;
  float result = 0, all = 0;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) {
    result += reinterpret_cast<const float*>(sums[i])[threadIdx.x];
    all += total_of[i];
  }
  if (call.sinks != nullptr) all += exp2_fast(sink - most);
  static_cast<T*>(call.out)[row * call.value_width + result_column] = from_float<T>(result / all);
}

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Chunks that a sequence's tokens see at most.
int64_t most_chunks(const AttentionShape& shape, int64_t tokens) {
  const int64_t positions = shape.selected > 0 ? shape.selected : shape.positions;
  if (is_latent(shape))
    return std::min<int64_t>(kMostLatentChunks, ceil_divide(positions, kLatentTile));
  const int64_t all = ceil_divide(positions, kChunk);
  return shape.window > 0 ? std::min(all, (shape.window + tokens - 2) / kChunk + 2) : all;
}

bool has_partials(const AttentionShape& shape, int64_t tokens) {
  return shape.heads > 0 && tokens <= kFewQueries;
}

// Partial results at most.
int64_t partials_of(const AttentionShape& shape, const TokenRows& rows) {
  const int64_t chunks = most_chunks(shape, rows.tokens);
  const bool divided = chunks <= kShortChunks && !is_latent(shape);
  return rows.count() * shape.heads * chunks * (divided ? kChunkQuarters : 1);
}

template <class T, int kBlockThreads>
void start_combine(const AttentionLaunch& at) {
  const dim3 grid{static_cast<unsigned>(at.sequences * at.call.tokens * at.call.heads),
                  static_cast<unsigned>(ceil_divide(at.call.value_width, kColumns))};
  launch({"attention's chunks", grid, kBlockThreads, 0, at.stream, Order::kOverlapping},
         combine_kernel<T, kBlockThreads>, at.call);
}

void combine(const AttentionLaunch& at) {
  visit_floating(at.shape.dtype, [&]<class T>(T) {
    if (is_latent(at.shape))
      start_combine<T, kLatentThreads>(at);
    else
      start_combine<T, kThreads>(at);
  });
}

AttentionCall make_call(const AttentionShape& shape, const AttentionOperands& operands,
                        const TokenRows& rows) {
  AttentionCall call{};
  call.q = operands.q;
  call.caches = operands.caches;
  call.first_positions = rows.first_positions;
  call.first_query = operands.first_query;
  call.selected = operands.selected;
  call.sinks = operands.sinks;
  call.row_scales = operands.row_scales;
  call.out = operands.out;
  if (shape.key_format) call.key_format = *shape.key_format;
  if (shape.value_format) call.value_format = *shape.value_format;
  call.scale = operands.scale;
  call.tokens = static_cast<int>(rows.tokens);
  call.heads = static_cast<int>(shape.heads);
  call.cached_heads = static_cast<int>(shape.cached_heads);
  call.group = static_cast<int>(shape.largest_group);
  call.width = static_cast<int>(shape.width);
  call.value_width = static_cast<int>(shape.value_width);
  call.value_stride = static_cast<int>(shape.value_stride);
  call.window = static_cast<int>(shape.window);
  call.selected_count = static_cast<int>(shape.selected);
  call.growing_chunks = is_latent(shape) ? 1 : 0;
  if (has_partials(shape, rows.tokens)) {
    call.chunks = static_cast<int>(most_chunks(shape, rows.tokens));
    const int64_t count = partials_of(shape, rows);
    call.mixed = static_cast<float*>(operands.workspace);
    call.partials = reinterpret_cast<Partial*>(call.mixed + count * padded_width(call.value_width));
  }
  return call;
}

}  // namespace

size_t attention_workspace(const AttentionShape& shape, int64_t tokens, int64_t sequences) {
  if (!has_partials(shape, tokens)) return 0;
  const auto each =
      static_cast<int64_t>(sizeof(Partial)) +
      padded_width(static_cast<int>(shape.value_width)) * static_cast<int64_t>(sizeof(float));
  return static_cast<size_t>(partials_of(shape, {nullptr, tokens, sequences}) * each);
}

void attention(const AttentionShape& shape, const AttentionOperands& operands,
               const TokenRows& rows, cudaStream_t stream) {
  if (rows.count() == 0 || shape.heads == 0 || shape.value_width == 0) return;
  const AttentionLaunch at{shape, make_call(shape, operands, rows),
                           static_cast<int>(rows.sequences), stream};
  const bool few = has_partials(shape, rows.tokens);
  if (few && attend_short(at)) return;
  if (!attend_latent(at) && !(few ? attend_few(at) : attend_many(at))) attend_any(at);
  if (few) combine(at);
}

}  // namespace strake::cuda
