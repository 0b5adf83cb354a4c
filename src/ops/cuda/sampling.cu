#include "ops/cuda/sampling.h"

#include "ops/cuda/launch.h"
#include "ops/cuda/order.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/reduce.h"

namespace strake::cuda {
namespace {

using Count = unsigned long long;  // the device's atomic 64-bit integer

constexpr int kArgmaxThreads = 256;
constexpr int kArgmaxParts = 32;  // blocks a row
constexpr Count kInvalid = ~Count{0};

// Orders first by value, then by index from the last to the first.
__device__ Count candidate(float logit, int64_t token) {
  if (!(logit < INFINITY)) return kInvalid;
  return Count{ordered(logit)} << 32 | (0xffffffffu - static_cast<uint32_t>(token));
}
__device__ int32_t token_of(Count candidate) {
  if (candidate == kInvalid || candidate >> 32 == ordered(-INFINITY)) return -1;
  return static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(candidate));
}

__global__ void argmax_parts_kernel(LogitRows rows, Count* parts) {
  __shared__ Count room[kWarp + 1];
  begin_after_predecessor();
  const float* const logits = rows.logits + int64_t{blockIdx.y} * rows.vocabulary;
  Count best = 0;
  for (int64_t i = int64_t{blockIdx.x} * kArgmaxThreads + threadIdx.x; i < rows.vocabulary;
       i += kArgmaxParts * kArgmaxThreads) {
    const Count one = candidate(logits[i], i);
    best = one > best ? one : best;
  }
  best = block_max(best, room);
  if (threadIdx.x == 0) parts[int64_t{blockIdx.y} * kArgmaxParts + blockIdx.x] = best;
}

__global__ void argmax_kernel(const Count* parts, int32_t* tokens) {
  begin_after_predecessor();
  const Count best = warp_max(parts[int64_t{blockIdx.x} * kArgmaxParts + threadIdx.x]);
  if (threadIdx.x == 0) tokens[blockIdx.x] = token_of(best);
}

constexpr int kThreads = kOrderThreads;
constexpr int kSegment = 1024;  // tokens whose weights are summed by one warp
constexpr int kMostSegments = static_cast<int>(kMostSampled / kSegment);
constexpr float kMassUnit = 0x1p40f;  // of the largest probability: sums of integers have no order

// What the block's threads share.
struct Shared {
  OrderRoom<Count> order;
  double segments[kMostSegments];
  Count counts[kWarp + 1];
  int found;
};

// The tokens that are left: those above the edge, and those at it within [begin, end).
struct Kept {
  uint32_t edge = 0;
  int64_t begin = 0;
  int64_t end = INT64_MAX;

  __device__ bool operator()(uint32_t order, int64_t token) const {
    return order > edge || (order == edge && token >= begin && token < end);
  }
};

// A block's work on one row.
struct Row {
  const float* logits;
  int64_t vocabulary;
  float largest;
  Shared& shared;

  template <class Body>
  __device__ void each(const Body& body) const {
    for (int64_t i = threadIdx.x; i < vocabulary; i += kThreads) body(i, logits[i]);
  }

  template <class Holds>
  __device__ Count count(const Holds& holds) const {
    Count own = 0;
    each([&](int64_t i, float x) { own += holds(i, x) ? 1 : 0; });
    return block_sum(own, shared.counts);
  }

  template <class Weight>
  __device__ uint32_t edge_below(Count limit, const Weight& weight) const {
    return lowest_below(
        limit, shared.order, OrderSpan(), [&](const auto& body) { each(body); }, weight);
  }

  // The sum of weights, in an order that the vocabulary alone decides; find() reads its parts.
  template <class Weight>
  __device__ double sum(const Weight& weight) const {
    const int lane = threadIdx.x % kWarp;
    __syncthreads();
    for (int64_t s = threadIdx.x / kWarp; s * kSegment < vocabulary; s += kThreads / kWarp) {
      double own = 0;
      for (int64_t i = s * kSegment + lane; i < min((s + 1) * kSegment, vocabulary); i += kWarp)
        own += weight(i, logits[i]);
      own = warp_sum(own);
      if (lane == 0) shared.segments[s] = own;
    }
    __syncthreads();
    double all = 0;
    for (int64_t s = 0; s * kSegment < vocabulary; ++s) all += shared.segments[s];
    return all;
  }

  // After sum(): the first token up to which the weights sum to more than `target`; else -1.
  template <class Weight>
  __device__ int find(double target, const Weight& weight) const {
    if (threadIdx.x == 0) shared.found = -1;
    __syncthreads();
    if (threadIdx.x < kWarp) {
      const int lane = threadIdx.x;
      double below = 0;
      int64_t s = 0;
      for (; s * kSegment < vocabulary && below + shared.segments[s] <= target; ++s)
        below += shared.segments[s];
      int last = -1;  // with a weight, should rounding miss the target
      for (int64_t first = s * kSegment; first < min((s + 1) * kSegment, vocabulary);
           first += kWarp) {
        const int64_t token = first + lane;
        const double own = token < vocabulary ? weight(token, logits[token]) : 0;
        double up_to = own;
        for (int step = 1; step < kWarp; step *= 2) {
          const double before = __shfl_up_sync(0xffffffffu, up_to, step);
          if (lane >= step) up_to += before;
        }
        const unsigned weighs = __ballot_sync(0xffffffffu, own > 0);
        const unsigned over = __ballot_sync(0xffffffffu, own > 0 && below + up_to > target);
        if (weighs != 0) last = static_cast<int>(first) + 31 - __clz(static_cast<int>(weighs));
        if (over != 0) {
          last = static_cast<int>(first) + __ffs(static_cast<int>(over)) - 1;
          break;
        }
        below += __shfl_sync(0xffffffffu, up_to, kWarp - 1);
      }
      if (lane == 0) shared.found = last;
    }
    __syncthreads();
    return shared.found;
  }
};

// Of `count` tokens that are kept, `wanted` are left: the largest, of equals at the edge the first
// or the last ones.
enum class Equals { kFirst, kLast };
__device__ void keep_largest(const Row& row, Count wanted, Equals equals, Kept& kept) {
  const Kept before = kept;
  if (row.count([&](int64_t i, float x) { return before(ordered(x), i); }) <= wanted) return;
  kept.edge = row.edge_below(
      wanted, [&](int64_t i, uint32_t order, float) -> Count { return before(order, i) ? 1 : 0; });
  if (kept.edge > before.edge) {
    kept.begin = 0;
    kept.end = INT64_MAX;
  }
  const auto above = row.count([&](int64_t, float x) { return ordered(x) > kept.edge; });
  const uint32_t edge = kept.edge;
  const int64_t begin = kept.begin, end = kept.end;
  const auto at_edge = [=](int64_t i, float x) {
    return ordered(x) == edge && i >= begin && i < end ? 1.0 : 0.0;
  };
  const double ties = row.sum(at_edge);
  const auto spare = static_cast<double>(wanted - above);
  if (ties <= spare) return;
  if (equals == Equals::kFirst)
    kept.end = row.find(spare - 0.5, at_edge) + 1;
  else
    kept.begin = row.find(ties - spare + 0.5, at_edge);
}

__device__ void filter(const Row& row, const RowRule& rule, Kept& kept) {
  if (0 < rule.top_p && rule.top_p < 1) {
    const auto mass = [&](int64_t, uint32_t, float x) {
      return static_cast<Count>(expf(x - row.largest) * kMassUnit);
    };
    Count own = 0;
    row.each([&](int64_t i, float x) { own += mass(i, 0, x); });
    const Count total = block_sum(own, row.shared.counts);
    kept.edge = row.edge_below(
        static_cast<Count>(ceil(double{rule.top_p} * static_cast<double>(total))), mass);
  }
  if (rule.min_p > 0) {
    const uint32_t least = ordered(row.largest + logf(rule.min_p));
    const Kept before = kept;
    const Count reach =
        row.count([&](int64_t i, float x) { return before(ordered(x), i) && ordered(x) >= least; });
    if (reach < static_cast<Count>(rule.min_tokens))
      keep_largest(row, static_cast<Count>(rule.min_tokens), Equals::kLast, kept);
    else if (least > kept.edge)
      kept = {least};
  }
  if (rule.top_k > 0) keep_largest(row, static_cast<Count>(rule.top_k), Equals::kFirst, kept);
}

__global__ void __launch_bounds__(kThreads)
    sample_kernel(LogitRows rows, const RowRule* rules, const float* uniforms, int32_t* tokens) {
  __shared__ Shared shared;
  const RowRule rule = rules[blockIdx.x];
  Row row{rows.logits + int64_t{blockIdx.x} * rows.vocabulary, rows.vocabulary, 0, shared};
  Count best = 0;
  row.each([&](int64_t i, float x) {
    const Count one = candidate(x, i);
    best = one > best ? one : best;
  });
  best = block_max(best, shared.counts);
  const int32_t first = token_of(best);
  if (first < 0 || rule.temperature == 0) {
    if (threadIdx.x == 0) tokens[blockIdx.x] = first;
    return;
  }
  row.largest = row.logits[first];
  Kept kept;
  filter(row, rule, kept);
  const float inverse = 1.0f / rule.temperature;
  const auto weight = [&](int64_t i, float x) {
    return kept(ordered(x), i) ? double{expf((x - row.largest) * inverse)} : 0.0;
  };
  const double total = row.sum(weight);
  const int token = row.find(total * double{uniforms[blockIdx.x]}, weight);
  if (threadIdx.x == 0) tokens[blockIdx.x] = token < 0 ? first : token;
}

// Threefry-2x32 with 20 rounds (Salmon et al., 2011): the counter's block under the key.
__device__ UniformKey threefry(const UniformKey& key, uint32_t left, uint32_t right) {
  constexpr int kRotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  const uint32_t schedule[3] = {key.words[0], key.words[1],
                                0x1bd11bdau ^ key.words[0] ^ key.words[1]};
  left += schedule[0];
  right += schedule[1];
#pragma unroll
  for (uint32_t quad = 1; quad <= 5; ++quad) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int rotation = kRotations[(quad - 1) % 2][i];
      left += right;
      right = (right << rotation | right >> (32 - rotation)) ^ left;
    }
    left += schedule[quad % 3];
    right += schedule[(quad + 1) % 3] + quad;
  }
  return {{left, right}};
}

__global__ void next_uniforms_kernel(UniformKey* keys, int64_t rows, float* uniforms) {
  const int64_t row = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  // As Random::uniform(): a split of four words, one half the next key, one the number's.
  const UniformKey first = threefry(keys[row], 0, 2);
  const UniformKey second = threefry(keys[row], 1, 3);
  keys[row] = {{first.words[0], second.words[0]}};
  const uint32_t word = threefry({{first.words[1], second.words[1]}}, 0, 0).words[0];
  uniforms[row] = fminf(static_cast<float>(word) * 0x1p-32f, 1.0f - 0x1p-24f);
}

}  // namespace

size_t argmax_workspace(const LogitRows& logits) {
  return static_cast<size_t>(logits.rows) * kArgmaxParts * sizeof(Count);
}

void argmax(const LogitRows& logits, void* workspace, int32_t* tokens, cudaStream_t stream) {
  if (logits.rows == 0) return;
  auto* const parts = static_cast<Count*>(workspace);
  const auto rows = static_cast<unsigned>(logits.rows);
  launch({"argmax", {kArgmaxParts, rows}, kArgmaxThreads, 0, stream, Order::kOverlapping},
         argmax_parts_kernel, logits, parts);
  launch({"argmax", rows, kWarp, 0, stream, Order::kOverlapping}, argmax_kernel, parts, tokens);
}

void sample(const LogitRows& logits, const RowRule* rules, const float* uniforms, int32_t* tokens,
            cudaStream_t stream) {
  if (logits.rows == 0) return;
  if (logits.vocabulary > kMostSampled)
    throw Error(ErrorKind::kUnsupported, "sampling: a vocabulary of more than 1048576 tokens");
  launch({"sample", static_cast<unsigned>(logits.rows), kThreads, 0, stream}, sample_kernel, logits,
         rules, uniforms, tokens);
}

void next_uniforms(UniformKey* keys, int64_t rows, float* uniforms, cudaStream_t stream) {
  if (rows == 0) return;
  launch({"next_uniforms", static_cast<unsigned>((rows + 127) / 128), 128, 0, stream},
         next_uniforms_kernel, keys, rows, uniforms);
}

}  // namespace strake::cuda
