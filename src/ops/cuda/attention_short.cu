// A few query rows over a short cache, which more blocks are to share than it has chunks.
//
// A block has 16 query rows of one key-value head and a quarter of a chunk, 64 positions, all
// brought at once. Each of its four warps multiplies the keys of 16 of them; then each goes through
// all weights for a fourth of the columns. Another kernel joins quarters and chunks. All sums are
// those of attention_few.cu and its combination, in their order: which of the two does it changes
// no bits.
#include "ops/cuda/attention_steps.h"
#include "ops/cuda/launch.h"

namespace strake::cuda {
namespace {

constexpr int kWarps = kQuarterSteps;
constexpr int kThreads = 32 * kWarps;

template <class T, int Width, int ValueWidth>
struct Short : StepRoom<Width, ValueWidth> {
  using Room = StepRoom<Width, ValueWidth>;
  static constexpr size_t kScores = kQuarterSteps * 2 * 32 * sizeof(float4);
  static constexpr size_t kShared =
      kScores + (Room::kQueries + kQuarterSteps * Room::kStage) * sizeof(T);
};

// Where a warp's step of a quarter lies.
template <class T, int Width, int ValueWidth>
struct WarpStep {
  int position;
  const T* keys;
  const T* values;

  __device__ WarpStep(const CachedSequence& cache, int cached_head, int quarter)
      : position(quarter * kQuarterKeys + static_cast<int>(threadIdx.x) / 32 * kStepKeys) {
    const int64_t row = chunk_row(cache, cached_head, position / kChunk) + position % kChunk;
    keys = static_cast<const T*>(cache.keys.elements) + row * Width;
    values = static_cast<const T*>(cache.values.elements) + row * ValueWidth;
  }
};

template <class T, int Width, int ValueWidth>
__global__ void __launch_bounds__(kThreads) attend_short_kernel(const AttentionCall call) {
  using Shape = Short<T, Width, ValueWidth>;
  constexpr int kPairs = ValueWidth / 16;  // of eight columns
  constexpr int kOwnPairs = (kPairs + kWarps - 1) / kWarps;
  auto* const scores_of = reinterpret_cast<float4*>(dynamic_shared());  // [steps][2][lanes]
  T* const queries = reinterpret_cast<T*>(dynamic_shared() + Shape::kScores);
  T* const stages = queries + Shape::kQueries;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int sequence = blockIdx.z;
  const int cached_head = blockIdx.y % call.cached_heads;
  const CachedSequence cache = call.caches[sequence];
  const int first_row = blockIdx.y / call.cached_heads * kStepRows;
  const Group group = group_of(call, cached_head);
  const int rows = min(kStepRows, call.tokens * group.count - first_row);
  if (rows <= 0) return wait_for_predecessor();
  // This warp's step, of the block's quarter of a chunk.
  T* const stage = stages + warp * Shape::kStage;
  WarpStep<T, Width, ValueWidth> own(cache, cached_head, static_cast<int>(blockIdx.x));
  // What has been stored long ago is on its way while the kernel before ends.
  int settled = settled_positions(call, sequence, cache);
  copy_settled_rows<Width>(own.keys, own.position, settled, stage);
  copy_settled_rows<ValueWidth>(own.values, own.position, settled, stage + Shape::kKeys);
  commit_copies();

  wait_for_predecessor();
  const int first_quarter = first_chunk(call, sequence, kChunk) * kChunkQuarters;
  const int quarter = first_quarter + static_cast<int>(blockIdx.x);
  const Seen seen{seen_by(call, sequence, query_row(group, first_row).token).begin,
                  seen_by(call, sequence, query_row(group, first_row + rows - 1).token).end};
  const int first = quarter * kQuarterKeys;
  const bool is_seen_at_all = first < seen.end && first + kQuarterKeys > seen.begin;
  if (!is_seen_at_all || !are_settled(call, sequence, settled)) {
    wait_for_copies<0>();
    settled = 0;
  }
  if (!is_seen_at_all) return;
  if (call.window > 0) own = {cache, cached_head, quarter};
  const auto is_seen = [&](int step) {
    const int position = first + step * kStepKeys;
    return position < seen.end && position + kStepKeys > seen.begin;
  };

  if (is_seen(warp)) copy_rows_of_step<Width>(own.keys, own.position, seen, stage, settled);
  for (int i = threadIdx.x; i < kStepRows * Width / 8; i += kThreads) {
    const int row = i / (Width / 8), unit = i % (Width / 8);
    const bool there = row < rows;
    copy_async(
        queries + row * Shape::kKeyRow + unit * 8,
        static_cast<const T*>(call.q) +
            query_index(call, sequence, query_row(group, first_row + (there ? row : 0))) * Width +
            unit * 8,
        there ? 16 : 0);
  }
  commit_copies();
  if (is_seen(warp))
    copy_rows_of_step<ValueWidth>(own.values, own.position, seen, stage + Shape::kKeys, settled);
  commit_copies();
  // Only now: weights that a product asks for would be in the way.
  let_successor_start();
  StepSoftmax softmax(call, sequence, group, first_row, rows);

  wait_for_copies<1>();
  __syncthreads();
  if (is_seen(warp)) {
    float scores[2][4] = {};
    StepQueries<T, Width>(queries).multiply(stage, scores);
#pragma unroll
    for (int i = 0; i < 2; ++i)
      scores_of[(warp * 2 + i) * 32 + lane] =
          make_float4(scores[i][0], scores[i][1], scores[i][2], scores[i][3]);
  }
  wait_for_copies<0>();
  __syncthreads();
  float mixed[kOwnPairs][2][4] = {};
#pragma unroll
  for (int step = 0; step < kQuarterSteps; ++step) {
    if (!is_seen(step)) continue;
    float scores[2][4], factors[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float4 four = scores_of[(step * 2 + i) * 32 + lane];
      scores[i][0] = four.x;
      scores[i][1] = four.y;
      scores[i][2] = four.z;
      scores[i][3] = four.w;
    }
    softmax.add(first + step * kStepKeys, scores, factors);
    const StepWeights<T> weights(scores);
#pragma unroll
    for (int own = 0; own < kOwnPairs; ++own) {
      const int pair = own * kWarps + warp;
      if (pair < kPairs)
        weights.template mix<ValueWidth>(stages + step * Shape::kStage + Shape::kKeys + pair * 16,
                                         factors, mixed[own]);
    }
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const Partial partial = softmax.result(half);
    const int row = lane / 4 + 8 * half;
    if (row >= rows) continue;
    const int64_t at = query_index(call, sequence, query_row(group, first_row + row)) *
                           (call.chunks * kChunkQuarters) +
                       blockIdx.x;
    if (warp == 0 && lane % 4 == 0) call.partials[at] = partial;
#pragma unroll
    for (int own = 0; own < kOwnPairs; ++own) {
      const int pair = own * kWarps + warp;
      if (pair >= kPairs) continue;
#pragma unroll
      for (int i = 0; i < 2; ++i)
        *reinterpret_cast<float2*>(call.mixed + at * ValueWidth + pair * 16 + i * 8 +
                                   lane % 4 * 2) =
            float2{mixed[own][i][2 * half], mixed[own][i][2 * half + 1]};
    }
  }
}

// A block has a row: thread (x, y) columns [4 x, 4 x + 4) of chunk y, of four or eight.
template <class T, int ValueWidth>
__global__ void __launch_bounds__(ValueWidth / 4 * kShortChunks)
    join_quarters_kernel(const AttentionCall call) {
  constexpr int kFours = ValueWidth / 4;
  __shared__ Partial partial_of[kShortChunks];
  __shared__ float4 sums[kShortChunks][kFours];
  let_successor_start();
  const auto row = static_cast<int>(blockIdx.x);  // of [rows, heads]
  const int token_row = row / call.heads;
  const int sequence = token_row / call.tokens;
  const Seen seen = seen_by(call, sequence, token_row % call.tokens);
  const int column = static_cast<int>(threadIdx.x) * 4;
  const auto own = static_cast<int>(threadIdx.y), chunks = static_cast<int>(blockDim.y);
  const int chunk = seen.begin / kChunk + own;
  const int64_t at =
      (int64_t{row} * call.chunks + chunk - first_chunk(call, sequence, kChunk)) * kChunkQuarters;
  const float sink = call.sinks == nullptr ? kLowest : call.sinks[row % call.heads] * kLog2E;
  wait_for_predecessor();

  Partial partials[kChunkQuarters];
  float4 values[kChunkQuarters];
#pragma unroll
  for (int i = 0; i < kChunkQuarters; ++i) {
    const int first = (chunk * kChunkQuarters + i) * kQuarterKeys;
    const bool there = first < seen.end && first + kQuarterKeys > seen.begin;
    partials[i] = there ? call.partials[at + i] : Partial{kLowest, 0};
    values[i] = there
                    ? *reinterpret_cast<const float4*>(call.mixed + (at + i) * ValueWidth + column)
                    : float4{};
  }
  JoinedSums of_chunk{partials[0].largest};
#pragma unroll
  for (int i = 1; i < kChunkQuarters; ++i)
    of_chunk.most = fmaxf(of_chunk.most, partials[i].largest);
#pragma unroll
  for (int i = 0; i < kChunkQuarters; ++i) of_chunk.add(partials[i], values[i]);
  if (column == 0) partial_of[own] = {of_chunk.most, of_chunk.total};
  sums[own][threadIdx.x] = of_chunk.sum;
  __syncthreads();
  if (own > 0) return;

  float most = sink;
#pragma unroll
  for (int i = 0; i < kShortChunks; ++i)
    if (i < chunks) most = fmaxf(most, partial_of[i].largest);
  float4 sum{};
  float total = 0;
#pragma unroll
  for (int four = 0; four < kShortChunks; four += 4) {
    if (four >= chunks) break;
    const auto weighted = [&](int i) {
      JoinedSums one{most};
      one.add(partial_of[four + i], sums[four + i][threadIdx.x]);
      return one;
    };
    const JoinedSums a = weighted(0), b = weighted(1), c = weighted(2), d = weighted(3);
    total += (a.total + b.total) + (c.total + d.total);
    sum.x += (a.sum.x + b.sum.x) + (c.sum.x + d.sum.x);
    sum.y += (a.sum.y + b.sum.y) + (c.sum.y + d.sum.y);
    sum.z += (a.sum.z + b.sum.z) + (c.sum.z + d.sum.z);
    sum.w += (a.sum.w + b.sum.w) + (c.sum.w + d.sum.w);
  }
  if (call.sinks != nullptr) total += exp2_fast(sink - most);
  T* const out = static_cast<T*>(call.out) + int64_t{row} * ValueWidth + column;
  *reinterpret_cast<uint2*>(out) =
      make_uint2(pack<T>(sum.x / total, sum.y / total), pack<T>(sum.z / total, sum.w / total));
}

static_assert(kShortChunks == 8);

template <class T, int Width, int ValueWidth>
void start(const AttentionLaunch& at) {
  const AttentionCall& call = at.call;
  launch({"attention of few rows to few positions",
          {static_cast<unsigned>(call.chunks * kChunkQuarters), tiles_of_rows(call),
           static_cast<unsigned>(at.sequences)},
          kThreads,
          Short<T, Width, ValueWidth>::kShared,
          at.stream,
          Order::kOverlapping},
         attend_short_kernel<T, Width, ValueWidth>, call);
  launch({"quarters of attention's chunks",
          static_cast<unsigned>(at.sequences * call.tokens * call.heads),
          {ValueWidth / 4, call.chunks <= 4 ? 4u : 8u},
          0,
          at.stream,
          Order::kOverlapping},
         join_quarters_kernel<T, ValueWidth>, call);
}

}  // namespace

bool attend_short(const AttentionLaunch& at) {
  return at.call.chunks <= kShortChunks &&
         start_with_steps(at.shape, [&]<class T, int Width, int ValueWidth>() {
           start<T, Width, ValueWidth>(at);
         });
}

}  // namespace strake::cuda
