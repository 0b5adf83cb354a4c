// A few query rows over a long cache, at the memory's speed.
//
// A block has 16 query rows of one key-value head and a chunk of 256 positions. Each of its four
// warps streams 64 of them through shared memory of its own, 16 at a time, and keeps a softmax of
// its own; the four meet at the end, in order.
#include "ops/cuda/attention_steps.h"
#include "ops/cuda/launch.h"

namespace strake::cuda {
namespace {

constexpr int kWarps = kChunkQuarters;
constexpr int kThreads = 32 * kWarps;

template <class T, int Width, int ValueWidth>
struct Few : StepRoom<Width, ValueWidth> {
  using Room = StepRoom<Width, ValueWidth>;
  static constexpr int kStages = Width <= 128 ? 2 : 1;
  static constexpr int kWarpRoom = kStages * Room::kStage;  // elements
  static_assert(kWarpRoom * sizeof(T) >= kStepRows * ValueWidth * sizeof(float));
  static constexpr size_t kShared = (Room::kQueries + kWarps * kWarpRoom) * sizeof(T);
};

// Where a warp's quarter of a chunk lies.
template <class T, int Width, int ValueWidth>
struct WarpRows {
  int first;  // position
  const T* keys;
  const T* values;

  __device__ WarpRows(const CachedSequence& cache, int cached_head, int chunk) {
    const int before = static_cast<int>(threadIdx.x) / 32 * kQuarterKeys;
    const int64_t row = chunk_row(cache, cached_head, chunk) + before;
    first = chunk * kChunk + before;
    keys = static_cast<const T*>(cache.keys.elements) + row * Width;
    values = static_cast<const T*>(cache.values.elements) + row * ValueWidth;
  }
  __device__ int position_of(int step) const { return first + step * kStepKeys; }
  __device__ const T* keys_of(int step) const { return keys + step * kStepKeys * Width; }
  __device__ const T* values_of(int step) const { return values + step * kStepKeys * ValueWidth; }
};

template <class T, int Width, int ValueWidth>
__global__ void __launch_bounds__(kThreads) attend_few_kernel(const AttentionCall call) {
  using Shape = Few<T, Width, ValueWidth>;
  constexpr int kPairs = ValueWidth / 16;  // of eight columns
  // 16-byte units of a thread.
  constexpr int kQueryUnits = (kStepRows * Width / 8 + kThreads - 1) / kThreads;
  const auto query_unit = [](int i) { return static_cast<int>(threadIdx.x) + i * kThreads; };
  __shared__ Partial partial_of[kWarps][kStepRows];
  T* const queries = reinterpret_cast<T*>(dynamic_shared());
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int sequence = blockIdx.z;
  const int cached_head = blockIdx.y % call.cached_heads;
  const CachedSequence cache = call.caches[sequence];
  const int first_row = blockIdx.y / call.cached_heads * kStepRows;
  const Group group = group_of(call, cached_head);
  const int rows = min(kStepRows, call.tokens * group.count - first_row);
  if (rows <= 0) return begin_after_all();
  T* const room = queries + Shape::kQueries + warp * Shape::kWarpRoom;
  WarpRows<T, Width, ValueWidth> own(cache, cached_head, static_cast<int>(blockIdx.x));
  // What has been stored long ago is on its way while the kernel before ends.
  int settled = settled_positions(call, sequence, cache);
#pragma unroll
  for (int step = 0; step < Shape::kStages; ++step) {
    T* const stage = room + step * Shape::kStage;
    copy_settled_rows<Width>(own.keys_of(step), own.position_of(step), settled, stage);
    copy_settled_rows<ValueWidth>(own.values_of(step), own.position_of(step), settled,
                                  stage + Shape::kKeys);
    commit_copies();
  }

  // Queries are asked for before anything else is.
  const uint4* query_at[kQueryUnits];
#pragma unroll
  for (int i = 0; i < kQueryUnits; ++i) {
    const int row = query_unit(i) / (Width / 8), unit = query_unit(i) % (Width / 8);
    query_at[i] = nullptr;
    if (row < rows)
      query_at[i] = static_cast<const uint4*>(call.q) + unit +
                    query_index(call, sequence, query_row(group, first_row + row)) * (Width / 8);
  }

  begin_after_all();
  uint4 query_bits[kQueryUnits];
#pragma unroll
  for (int i = 0; i < kQueryUnits; ++i)
    query_bits[i] = query_at[i] != nullptr ? *query_at[i] : uint4{};
  const int chunk = first_chunk(call, sequence, kChunk) + blockIdx.x;
  const Seen seen{seen_by(call, sequence, query_row(group, first_row).token).begin,
                  seen_by(call, sequence, query_row(group, first_row + rows - 1).token).end};
  const bool is_seen_at_all = chunk * kChunk < seen.end && (chunk + 1) * kChunk > seen.begin;
  if (!is_seen_at_all || !are_settled(call, sequence, settled)) {
    wait_for_copies<0>();
    settled = 0;
  }
  if (!is_seen_at_all) return;
  if (call.window > 0) own = {cache, cached_head, chunk};
  const auto is_seen = [&](int position) {
    return position < seen.end && position + kStepKeys > seen.begin;
  };
  const auto copy = [&](int step, int from) {
    const int position = own.position_of(step);
    if (step < kQuarterSteps && is_seen(position)) {
      T* const stage = room + step % Shape::kStages * Shape::kStage;
      copy_rows_of_step<Width>(own.keys_of(step), position, seen, stage, from);
      copy_rows_of_step<ValueWidth>(own.values_of(step), position, seen, stage + Shape::kKeys,
                                    from);
    }
    commit_copies();
  };
  if (own.position_of(Shape::kStages) > settled)
#pragma unroll
    for (int step = 0; step < Shape::kStages; ++step) copy(step, settled);

#pragma unroll
  for (int i = 0; i < kQueryUnits; ++i) {
    const int row = query_unit(i) / (Width / 8), unit = query_unit(i) % (Width / 8);
    if (row < kStepRows)
      *reinterpret_cast<uint4*>(queries + row * Shape::kKeyRow + unit * 8) = query_bits[i];
  }
  __syncthreads();
  StepQueries<T, Width> own_queries(queries);
  StepSoftmax softmax(call, sequence, group, first_row, rows);
  float mixed[kPairs][2][4] = {};
  for (int step = 0; step < kQuarterSteps; ++step) {
    wait_for_copies<Shape::kStages - 1>();
    __syncwarp();
    const int position = own.position_of(step);
    if (is_seen(position)) {
      const T* const stage = room + step % Shape::kStages * Shape::kStage;
      float scores[2][4] = {}, factors[2];
      own_queries.multiply(stage, scores);
      softmax.add(position, scores, factors);
      const StepWeights<T> weights(scores);
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair)
        weights.template mix<ValueWidth>(stage + Shape::kKeys + pair * 16, factors, mixed[pair]);
    }
    __syncwarp();
    copy(step + Shape::kStages, INT_MIN);
  }

  // The warps' sums meet in the room of the copies, which all have been used.
  wait_for_copies<0>();
  __syncwarp();
  float* const sums = reinterpret_cast<float*>(room);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const Partial partial = softmax.result(half);
    const int row = lane / 4 + 8 * half;
    if (lane % 4 == 0) partial_of[warp][row] = partial;
    if (row >= rows) continue;
#pragma unroll
    for (int column = 0; column < ValueWidth; column += 8) {
      const float(&four)[4] = mixed[column / 16][column / 8 % 2];
      *reinterpret_cast<float2*>(sums + row * ValueWidth + column + lane % 4 * 2) =
          float2{four[2 * half], four[2 * half + 1]};
    }
  }
  __syncthreads();
  const int kept = chunk - first_chunk(call, sequence, kChunk);
  for (int i = threadIdx.x; i < rows * (ValueWidth / 4); i += kThreads) {
    const int row = i / (ValueWidth / 4), column = i % (ValueWidth / 4) * 4;
    JoinedSums joined{partial_of[0][row].largest};
    for (int w = 1; w < kWarps; ++w) joined.most = fmaxf(joined.most, partial_of[w][row].largest);
    for (int w = 0; w < kWarps; ++w)
      joined.add(partial_of[w][row], *reinterpret_cast<const float4*>(
                                         reinterpret_cast<const float*>(queries + Shape::kQueries +
                                                                        w * Shape::kWarpRoom) +
                                         row * ValueWidth + column));
    const int64_t at =
        query_index(call, sequence, query_row(group, first_row + row)) * call.chunks + kept;
    *reinterpret_cast<float4*>(call.mixed + at * ValueWidth + column) = joined.sum;
    if (column == 0) call.partials[at] = {joined.most, joined.total};
  }
}

template <class T, int Width, int ValueWidth>
void start(const AttentionLaunch& at) {
  const AttentionCall& call = at.call;
  launch({"attention of few rows",
          {static_cast<unsigned>(call.chunks), tiles_of_rows(call),
           static_cast<unsigned>(at.sequences)},
          kThreads,
          Few<T, Width, ValueWidth>::kShared,
          at.stream,
          Order::kOverlapping},
         attend_few_kernel<T, Width, ValueWidth>, call);
}

}  // namespace

bool attend_few(const AttentionLaunch& at) {
  return start_with_steps(
      at.shape, [&]<class T, int Width, int ValueWidth>() { start<T, Width, ValueWidth>(at); });
}

}  // namespace strake::cuda
