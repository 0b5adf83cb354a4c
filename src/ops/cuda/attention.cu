// Which form of attention a call takes, and how chunks' partial results combine.
#include "ops/cuda/attention.h"

#include <algorithm>

#include "ops/cuda/attention_call.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/reduce.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kGroups = kThreads / 32;
constexpr int kColumns = 128;  // of a block: four a lane

// A block has a row's columns [128 y, 128 y + 128). Chunks are first summed by eight warps, each
// every eighth, and then over the warps, in order.
template <class T>
__global__ void __launch_bounds__(kThreads) combine_kernel(const AttentionCall call) {
  __shared__ float room[kWarp + 1];
  __shared__ float4 sums[kGroups][kColumns / 4];
  float* const weights = reinterpret_cast<float*>(dynamic_shared());
  begin_after_predecessor();
  const int64_t row = blockIdx.x;  // of [rows, heads]
  const int head = static_cast<int>(row % call.heads);
  const int token_row = static_cast<int>(row / call.heads);
  const int sequence = token_row / call.tokens;
  const Seen seen = seen_by(call, sequence, token_row % call.tokens);
  const int length = chunk_length(call.growing_chunks, seen.end);
  const int first = seen.begin / length;
  const int count = (seen.end + length - 1) / length - first;
  const int64_t at = row * call.chunks + first - first_chunk(call, sequence, length);

  const float sink = call.sinks == nullptr ? kLowest : call.sinks[head] * kLog2E;
  float most = sink;
  for (int i = threadIdx.x; i < count; i += kThreads)
    most = fmaxf(most, call.partials[at + i].largest);
  most = block_max(most, room);
  float total = 0;
  for (int i = threadIdx.x; i < count; i += kThreads) {
    const Partial partial = call.partials[at + i];
    weights[i] = exp2_fast(partial.largest - most);
    total += weights[i] * partial.total;
  }
  total = block_sum(total, room);
  if (call.sinks != nullptr) total += exp2_fast(sink - most);

  const int stride = padded_width(call.value_width);
  const int lane = threadIdx.x % 32, group = threadIdx.x / 32;
  const int column = blockIdx.y * kColumns + lane * 4;
  float4 sum{};
  if (column < stride) {
    const float* const mixed = call.mixed + at * stride + column;
#pragma unroll 8
    for (int i = group; i < count; i += kGroups) {
      const float4 part = *reinterpret_cast<const float4*>(mixed + int64_t{i} * stride);
      sum.x += weights[i] * part.x;
      sum.y += weights[i] * part.y;
      sum.z += weights[i] * part.z;
      sum.w += weights[i] * part.w;
    }
  }
  sums[group][lane] = sum;
  __syncthreads();
  const int own = blockIdx.y * kColumns + threadIdx.x;
  if (threadIdx.x >= kColumns || own >= call.value_width) return;
  float result = 0;
  for (int g = 0; g < kGroups; ++g) result += reinterpret_cast<const float*>(sums[g])[threadIdx.x];
  static_cast<T*>(call.out)[row * call.value_width + own] = from_float<T>(result / total);
}

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Chunks that a sequence's tokens see at most.
int64_t most_chunks(const AttentionShape& shape, int64_t tokens) {
  const int64_t positions = shape.selected > 0 ? shape.selected : shape.positions;
  if (is_latent(shape)) {
    // Longest where the length has just not grown.
    int64_t most = 0;
    for (int64_t end = positions; end > 0; end = end > 8192 ? end / 2 : 0)
      most = std::max(most, ceil_divide(end, chunk_length(1, static_cast<int>(end))));
    return std::max<int64_t>(most, std::min<int64_t>(64, ceil_divide(positions, 128)));
  }
  const int64_t all = ceil_divide(positions, kChunk);
  return shape.window > 0 ? std::min(all, (shape.window + tokens - 2) / kChunk + 2) : all;
}

bool has_partials(const AttentionShape& shape, int64_t tokens) {
  return shape.heads > 0 && tokens <= kFewTokens;
}

int64_t partials_of(const AttentionShape& shape, const TokenRows& rows) {
  return rows.count() * shape.heads * most_chunks(shape, rows.tokens);
}

void combine(const AttentionLaunch& at) {
  visit_floating(at.shape.dtype, [&]<class T>(T) {
    launch({"attention's chunks",
            {static_cast<unsigned>(at.sequences * at.call.tokens * at.call.heads),
             static_cast<unsigned>(ceil_divide(at.call.value_width, kColumns))},
            kThreads,
            static_cast<size_t>(at.call.chunks) * sizeof(float),
            at.stream,
            Order::kOverlapping},
           combine_kernel<T>, at.call);
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
  if (!attend_latent(at) && !(few ? attend_few(at) : attend_many(at))) attend_any(at);
  if (few) combine(at);
}

}  // namespace strake::cuda
