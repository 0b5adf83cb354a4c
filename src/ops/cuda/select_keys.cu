#include "ops/cuda/select_keys.h"

#include <algorithm>
#include <cfloat>

#include "ops/cuda/codes.h"
#include "ops/cuda/head_part.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/order.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kKeys = 64;       // positions of a block: 16 a warp
constexpr int kTokens = 8;      // rows that share a block's keys
constexpr int kPad = 8;         // elements: rows begin in different banks
constexpr int kMostDepth = 16;  // steps of 16 along a head
constexpr int64_t kScoresAtOnce = int64_t{1} << 26;

struct IndexCall {
  const void* q;
  const float* weights;
  const CachedSequence* caches;
  int32_t* selected;
  float* scores;  // [rows at once, stride]
  int64_t stride;
  int64_t first_row;
  int64_t rows;  // at once
  TokenRows all;
  int heads;
  int width;
  int count;
  Rope rope;  // of queries
};

__device__ int position_of(const IndexCall& call, int64_t row) {
  return call.all.first_positions[row / call.all.tokens] + static_cast<int>(row % call.all.tokens);
}

// What is no number is the least of all that are.
__device__ float score_of(float sum) { return sum > -FLT_MAX ? sum : -FLT_MAX; }

// What a thread does to turn a token's queries: one pair of some heads.
struct QueryTurn {
  int index;
  int first_head;
  int step;
  float frequency;

  __device__ explicit QueryTurn(const Rope& rope) {
    const auto pairs = static_cast<int>(rope.pairs), thread = static_cast<int>(threadIdx.x);
    step = pairs == 0 ? 0 : kThreads / pairs;
    index = pairs == 0 ? 0 : thread % pairs;
    first_head = pairs == 0 ? 0 : thread / pairs;
    frequency = pairs == 0 ? 0.0f : rope.frequencies[index];
  }
  // queries [heads, row_size] in shared memory; ends with a barrier.
  template <class T>
  __device__ void run(const IndexCall& call, int position, T* queries, int row_size) const {
    const Turn turn(call.rope, static_cast<uint32_t>(position), frequency);
    const PairAt pair(call.rope, index);
    if (first_head < step)
      for (int head = first_head; head < call.heads; head += step) {
        T* const row = queries + head * row_size;
        const float x = to_float(row[pair.first]), y = to_float(row[pair.second]);
        row[pair.first] = from_float<T>(turn.first(x, y));
        row[pair.second] = from_float<T>(turn.second(x, y));
      }
    __syncthreads();
  }
};

// Brings a block's keys nearer while the kernel before still runs: positions before this token's
// are there.
template <class T>
__device__ void bring_keys(const IndexCall& call) {
  const int64_t row = call.first_row + int64_t{blockIdx.y} * kTokens;
  const int64_t first = int64_t{blockIdx.x} * kKeys;
  const CachedSequence& cache = call.caches[row / call.all.tokens];
  const int64_t end = min(first + kKeys, min(int64_t{position_of(call, row)}, cache.slots));
  if (threadIdx.x == 0 && first < end)
    prefetch(static_cast<const T*>(cache.keys.elements) + first * call.width,
             static_cast<int>(end - first) * call.width * static_cast<int>(sizeof(T)));
}

// Scores of 64 keys for up to eight tokens of one sequence. Keys are the rows of the products,
// heads their columns.
template <class T>
__global__ void __launch_bounds__(kThreads) score_kernel(const IndexCall call) {
  const int row_size = call.width + kPad;
  const int heads = (call.heads + 15) / 16 * 16;
  T* const keys = reinterpret_cast<T*>(dynamic_shared());
  T* const queries = keys + kKeys * row_size;
  float* const weights = reinterpret_cast<float*>(queries + heads * row_size);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t first = call.first_row + int64_t{blockIdx.y} * kTokens;
  const int64_t end = min(first + kTokens, call.first_row + call.rows);
  const int first_key = blockIdx.x * kKeys;
  const int units = call.width / 8;
  const QueryTurn turning(call.rope);
  let_successor_start();
  bring_keys<T>(call);
  wait_for_predecessor();
  int64_t sequence = -1;
  uint32_t held[kMostDepth][4];
  for (int64_t row = first; row < end; ++row) {
    const int position = position_of(call, row);
    if (first_key > position) continue;
    __syncthreads();  // the queries before have been used
    if (row / call.all.tokens != sequence) {
      sequence = row / call.all.tokens;
      const int64_t last = min(end, (sequence + 1) * call.all.tokens) - 1;
      const int there = position_of(call, last) + 1 - first_key;
      const auto* const from = static_cast<const T*>(call.caches[sequence].keys.elements) +
                               int64_t{first_key} * call.width;
      for (int i = threadIdx.x; i < kKeys * units; i += kThreads) {
        const int key = i / units, unit = i % units;
        copy_async(keys + key * row_size + unit * 8,
                   from + (key < there ? key * call.width + unit * 8 : 0), key < there ? 16 : 0);
      }
      commit_copies();
      wait_for_copies<0>();
      __syncthreads();
      const T* const key_at = keys + (warp * 16 + lane % 16) * row_size + lane / 16 * 8;
#pragma unroll
      for (int k = 0; k < kMostDepth; ++k)
        if (k * 16 < call.width) ldmatrix(held[k], key_at + k * 16);
    }
    const T* const q = static_cast<const T*>(call.q) + row * call.heads * call.width;
    for (int i = threadIdx.x; i < heads * units; i += kThreads) {
      const int head = i / units, unit = i % units;
      copy_async(queries + head * row_size + unit * 8,
                 q + (head < call.heads ? head * call.width + unit * 8 : 0),
                 head < call.heads ? 16 : 0);
    }
    commit_copies();
    for (int i = threadIdx.x; i < heads; i += kThreads)
      weights[i] = i < call.heads ? call.weights[row * call.heads + i] : 0.0f;
    wait_for_copies<0>();
    __syncthreads();
    if (call.rope.pairs > 0) turning.run(call, position, queries, row_size);
    float sums[2] = {};
    const T* const query_at = queries + (lane % 8 + lane / 16 * 8) * row_size + lane / 8 % 2 * 8;
    for (int head = 0; head < heads; head += 16) {
      float products[2][4] = {};
#pragma unroll
      for (int k = 0; k < kMostDepth; ++k) {
        if (k * 16 >= call.width) break;
        uint32_t b[4];
        ldmatrix(b, query_at + head * row_size + k * 16);
        mma<T>(products[0], held[k], b[0], b[1]);
        mma<T>(products[1], held[k], b[2], b[3]);
      }
#pragma unroll
      for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          sums[i / 2] += fmaxf(products[n][i], 0.0f) * weights[head + n * 8 + lane % 4 * 2 + i % 2];
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = sums[half];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      const int key = first_key + warp * 16 + half * 8 + lane / 4;
      if (lane % 4 == 0 && key <= position)
        call.scores[(row - call.first_row) * call.stride + key] = score_of(sum);
    }
  }
}

// The same for every width and dtype: a warp a key.
template <class T>
__global__ void __launch_bounds__(kThreads) score_any_kernel(const IndexCall call) {
  begin_after_predecessor();
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t row = call.first_row + blockIdx.y;
  const int position = position_of(call, row);
  const auto* const keys = static_cast<const T*>(call.caches[row / call.all.tokens].keys.elements);
  const T* const q = static_cast<const T*>(call.q) + row * call.heads * call.width;
  for (int i = warp; i < kKeys; i += kThreads / 32) {
    const int64_t key = int64_t{blockIdx.x} * kKeys + i;
    if (key > position) break;
    float sum = 0;
    for (int head = 0; head < call.heads; ++head) {
      float product = 0;
      for (int k = lane; k < call.width; k += 32)
        product += to_float(q[head * call.width + k]) * to_float(keys[key * call.width + k]);
      sum += fmaxf(warp_sum(product), 0.0f) * call.weights[row * call.heads + head];
    }
    if (lane == 0) call.scores[(row - call.first_row) * call.stride + key] = score_of(sum);
  }
}

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kRun = 4;  // scores that a thread places at once
static_assert(kOrderThreads == kWarp * kWarp);

// A block a row: finds the lowest score that is selected, and writes positions in order.
__global__ void __launch_bounds__(kOrderThreads) largest_kernel(const IndexCall call) {
  __shared__ OrderRoom<unsigned> room;
  __shared__ uint32_t totals[kWarp], lows[kWarp], highs[kWarp];
  begin_after_predecessor();
  const int64_t row = call.first_row + blockIdx.x;
  const int seen = position_of(call, row) + 1;
  const float* const scores = call.scores + int64_t{blockIdx.x} * call.stride;
  int32_t* const selected = call.selected + row * call.count;
  if (seen <= call.count) {
    for (int i = threadIdx.x; i < call.count; i += kOrderThreads) selected[i] = i < seen ? i : -1;
    return;
  }
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  // Scores are read again and again: the first of a thread stay with it.
  float held[kRun] = {};
  const int own = static_cast<int>(threadIdx.x) * kRun;
  if (own < seen) {
    const float4 run = *reinterpret_cast<const float4*>(scores + own);
    held[0] = run.x, held[1] = run.y, held[2] = run.z, held[3] = run.w;
  }
  const auto each = [&](const auto& body) {
#pragma unroll
    for (int i = 0; i < kRun; ++i)
      if (own + i < seen) body(own + i, held[i]);
    for (int at = kOrderThreads * kRun + static_cast<int>(threadIdx.x); at < seen;
         at += kOrderThreads)
      body(at, scores[at]);
  };
  // Scores are near each other: counted by the bits in which they differ, few share a bin.
  uint32_t low = ~0u, high = 0;
  each([&](int, float score) {
    low = min(low, ordered(score));
    high = max(high, ordered(score));
  });
  low = __reduce_min_sync(kAllLanes, low);
  high = __reduce_max_sync(kAllLanes, high);
  if (lane == 0) {
    lows[warp] = low;
    highs[warp] = high;
  }
  __syncthreads();
  const auto span = OrderSpan::between(__reduce_min_sync(kAllLanes, lows[lane]),
                                       __reduce_max_sync(kAllLanes, highs[lane]));
  const uint32_t edge = lowest_below(static_cast<unsigned>(call.count), room, span, each,
                                     [](int64_t, uint32_t, float) { return 1u; });
  // All above the edge are selected, and so many at it.
  const uint32_t ties = static_cast<uint32_t>(call.count) - room.above;
  uint32_t placed = 0, tied = 0;
  for (int first = 0; first < seen; first += kOrderThreads * kRun) {
    // Counts of those above in the low half, of those at the edge in the high one.
    uint32_t counts = 0;
    uint32_t orders[kRun];
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      const int at = first + own + i;
      orders[i] = at < seen ? ordered(first == 0 ? held[i] : scores[at]) : 0;
      counts += orders[i] > edge ? 1u : orders[i] == edge ? 1u << 16 : 0u;
    }
    uint32_t up_to = counts;
#pragma unroll
    for (int step = 1; step < kWarp; step *= 2) {
      const uint32_t before = __shfl_up_sync(kAllLanes, up_to, step);
      if (lane >= step) up_to += before;
    }
    __syncthreads();  // the totals before have been read
    if (lane == kWarp - 1) totals[warp] = up_to;
    __syncthreads();
    const uint32_t total = totals[lane];
    const uint32_t of_warps_before = warp_sum(lane < warp ? total : 0u), all = warp_sum(total);
    const uint32_t before = of_warps_before + up_to - counts;
    uint32_t above = placed + (before & 0xffffu), at_edge = tied + (before >> 16);
    placed += all & 0xffffu;
    tied += all >> 16;
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      const int at = first + own + i;
      const bool is_above = orders[i] > edge, is_tie = orders[i] == edge;
      if (is_above || (is_tie && at_edge < ties)) selected[above + min(at_edge, ties)] = at;
      above += is_above ? 1 : 0;
      at_edge += is_tie ? 1 : 0;
    }
  }
}

int64_t stride_of(const IndexShape& shape) { return (shape.positions + 3) / 4 * 4; }
// As many as a grid has, and as leave their scores in some memory.
int64_t rows_at_once(const IndexShape& shape, int64_t rows) {
  const int64_t room = kScoresAtOnce / std::max<int64_t>(1, stride_of(shape));
  return std::min({rows, std::max<int64_t>(1, room), int64_t{65535}});
}

// Whether there are products for them.
bool are_products(const IndexShape& shape) {
  return shape.dtype != DType::kF32 && shape.width % 16 == 0 && shape.width <= kMostDepth * 16 &&
         shape.heads <= 256;
}

template <class T>
void score(const IndexShape& shape, const IndexCall& call, cudaStream_t stream) {
  const auto tiles = static_cast<unsigned>((shape.positions + kKeys - 1) / kKeys);
  if constexpr (sizeof(T) == 2) {
    if (are_products(shape)) {
      const int64_t heads = (shape.heads + 15) / 16 * 16;
      const size_t shared =
          static_cast<size_t>((kKeys + heads) * (shape.width + kPad)) * sizeof(T) +
          static_cast<size_t>(heads) * sizeof(float);
      return launch({"an indexer's scores",
                     {tiles, static_cast<unsigned>((call.rows + kTokens - 1) / kTokens)},
                     kThreads,
                     shared,
                     stream,
                     Order::kOverlapping},
                    score_kernel<T>, call);
    }
  }
  launch({"an indexer's scores",
          {tiles, static_cast<unsigned>(call.rows)},
          kThreads,
          0,
          stream,
          Order::kOverlapping},
         score_any_kernel<T>, call);
}

}  // namespace

// Every block that reads a token's queries turns them by itself, which pays for few tokens.
bool turns_queries(const IndexShape& shape, int64_t rows) {
  return are_products(shape) && rows <= kTokens;
}

size_t select_keys_workspace(const IndexShape& shape, int64_t rows) {
  return static_cast<size_t>(rows_at_once(shape, rows) * stride_of(shape)) * sizeof(float);
}

void select_keys(const IndexShape& shape, const IndexOperands& operands, const TokenRows& rows,
                 cudaStream_t stream) {
  const int64_t at_once = rows_at_once(shape, rows.count());
  for (int64_t first = 0; first < rows.count(); first += at_once) {
    const IndexCall call{operands.q,
                         operands.weights,
                         operands.caches,
                         operands.selected,
                         static_cast<float*>(operands.workspace),
                         stride_of(shape),
                         first,
                         std::min(at_once, rows.count() - first),
                         rows,
                         static_cast<int>(shape.heads),
                         static_cast<int>(shape.width),
                         static_cast<int>(shape.count),
                         operands.rope};
    visit_floating(shape.dtype, [&]<class T>(T) { score<T>(shape, call, stream); });
    launch({"an indexer's selection", static_cast<unsigned>(call.rows), kOrderThreads, 0, stream,
            Order::kOverlapping},
           largest_kernel, call);
  }
}

}  // namespace strake::cuda
