#include "ops/cuda/routing.h"

#include "ops/cuda/launch.h"
#include "ops/cuda/order.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/reduce.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kAll = 0xffffffffu;
constexpr uint32_t kNone = 0;  // below every number

// x / divisor, rounded once, for a small whole number. The residual is exact, so that only a
// quotient within 2^-52 units in the last place of a midpoint could be rounded wrongly, and those
// of a number below 16 are 1/32 away. Division takes several times as long.
__device__ double divided(double x, int divisor) {
  const double inverse = 1.0 / divisor;  // constant where the divisor is
  const double quotient = __dmul_rn(x, inverse);
  return __fma_rn(__fma_rn(quotient, -divisor, x), inverse, quotient);
}

// The router's own exponential (src/ops/cpu/routing.cpp), with the same bits.
__device__ double exp_everywhere(double x) {
  constexpr double kLn2High = 0x1.62e42feep-1;
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  if (x < -700) return 0;
  if (x > 700) x = 700;
  const double n = floor(__dadd_rn(__dmul_rn(x, 0x1.71547652b82fep+0), 0.5));
  const double r = __dsub_rn(__dsub_rn(x, __dmul_rn(n, kLn2High)), __dmul_rn(n, kLn2Low));
  double sum = 1;
#pragma unroll
  for (int i = 14; i > 0; --i) sum = __dadd_rn(1, divided(__dmul_rn(sum, r), i));
  return ldexp(sum, static_cast<int>(n));
}

// A warp's work on one row: expert 32 i + lane is in a lane's value i.
struct Row {
  const RouteRule& rule;
  float* scores;    // [experts], shared memory
  uint32_t* order;  // [experts]: what is chosen by; kNone once it is
  int lane;

  // Takes the largest of order[begin..end) one after the other, of equal ones the first: tells
  // `each` its index. A lane looks at its own again only where one of them was taken.
  template <class Each>
  __device__ void take_largest(int begin, int end, int count, const Each& each) const {
    uint32_t most;
    int at;
    const auto find = [&] {
      most = kNone;
      at = end;
      for (int i = begin + lane; i < end; i += kWarp)
        if (order[i] > most) {
          most = order[i];
          at = i;
        }
    };
    find();
    for (int taken = 0; taken < count; ++taken) {
      const uint32_t largest = __reduce_max_sync(kAll, most);
      const int first = __reduce_min_sync(kAll, most == largest ? at : end);
      if (at == first && first < end) {
        order[first] = kNone;
        find();
      }
      each(first);
    }
    __syncwarp();
  }
};

// A row's softmax over the experts that count, by all threads of the block. `exponentials`
// [experts] are room; each warp finds the maximum and the sum, which have one order, by itself.
template <class Counts>
__device__ void softmax(const Row& row, const float* logits, double* exponentials,
                        const Counts& counts) {
  const int experts = row.rule.experts, thread = threadIdx.x;
  float largest = -INFINITY;
  for (int i = row.lane; i < experts; i += kWarp)
    if (counts(i)) largest = fmaxf(largest, logits[i]);
  largest = warp_max(largest);
  for (int i = thread; i < experts; i += kThreads)
    if (counts(i)) exponentials[i] = exp_everywhere(double{logits[i]} - double{largest});
  __syncthreads();
  double sum = 0;
  for (int i = row.lane; i < experts; i += kWarp)
    if (counts(i)) sum += exponentials[i];
  sum = warp_sum(sum);
  for (int i = thread; i < experts; i += kThreads)
    if (counts(i)) row.scores[i] = static_cast<float>(exponentials[i] / sum);
}

// Leaves the experts of the best groups; others count as 0. `choice` [experts] is what they are
// chosen by, `quality` [groups] room.
__device__ void leave_best_groups(const Row& row, const float* choice, uint32_t* quality) {
  const RouteRule& rule = row.rule;
  const int size = rule.experts / rule.groups;
  for (int group = 0; group < rule.groups; ++group) {
    float sum = 0;
    row.take_largest(group * size, (group + 1) * size, rule.group_terms,
                     [&](int index) { sum += choice[index]; });
    if (row.lane == 0) quality[group] = ordered(sum);
  }
  __syncwarp();
  // The best groups' entries become kNone.
  const Row groups{rule, nullptr, quality, row.lane};
  groups.take_largest(0, rule.groups, rule.chosen_groups, [](int) {});
  for (int i = row.lane; i < rule.experts; i += kWarp)
    row.order[i] = quality[i / size] == kNone ? ordered(choice[i]) : ordered(0.0f);
  __syncwarp();
}

// A block a row: scores are a thread's each, the choice is one warp's.
__global__ void __launch_bounds__(kThreads)
    route_kernel(const RouteRule rule, const float* all_logits, const float* correction,
                 RouteOut out) {
  begin_after_predecessor();
  const int thread = threadIdx.x, lane = thread % kWarp;
  auto* const exponentials = reinterpret_cast<double*>(dynamic_shared());
  float* const scores = reinterpret_cast<float*>(exponentials + rule.experts);
  float* const choice = scores + rule.experts;
  auto* const order = reinterpret_cast<uint32_t*>(choice + rule.experts);
  uint32_t* const quality = order + rule.experts;
  const Row row{rule, scores, order, lane};
  const float* const logits = all_logits + int64_t{blockIdx.x} * rule.experts;
  const auto is_chosen = [&](int i) { return order[i] == kNone; };

  int nan = 0;
  for (int i = thread; i < rule.experts; i += kThreads) nan |= logits[i] != logits[i] ? 1 : 0;
  nan = __syncthreads_or(nan);
  if (nan && thread == 0) *out.invalid = 1;

  if (rule.scores == RouteRule::Scores::kSoftmax) {
    softmax(row, logits, exponentials, [](int) { return true; });
  } else {
    for (int i = thread; i < rule.experts; i += kThreads)
      scores[i] = rule.scores == RouteRule::Scores::kSoftmaxOfChosen
                      ? logits[i]
                      : static_cast<float>(1 / (1 + exp_everywhere(-double{logits[i]})));
  }
  for (int i = thread; i < rule.experts; i += kThreads) {
    const bool corrected =
        correction != nullptr && rule.scores != RouteRule::Scores::kSoftmaxOfChosen;
    choice[i] = corrected ? scores[i] + correction[i] : scores[i];
    order[i] = ordered(nan ? 0.0f : choice[i]);
  }
  __syncthreads();
  if (thread < kWarp) {
    if (rule.groups > 1 && rule.scores != RouteRule::Scores::kSoftmaxOfChosen && !nan)
      leave_best_groups(row, choice, quality);
    row.take_largest(0, rule.experts, rule.chosen, [](int) {});
  }
  if (rule.scores == RouteRule::Scores::kSoftmaxOfChosen) {
    __syncthreads();
    softmax(row, logits, exponentials, is_chosen);
    __syncthreads();
  }
  if (thread >= kWarp) return;

  // In ascending order of experts, as all sums over them. Their scores stand in `choice` then.
  __syncwarp();
  const int64_t first_out = int64_t{blockIdx.x} * rule.chosen;
  int before = 0;
  for (int first = 0; first < rule.experts; first += kWarp) {
    const int i = first + lane;
    const bool own = i < rule.experts && is_chosen(i);
    const unsigned found = __ballot_sync(kAll, own);
    const int at = before + __popc(found & ((1u << lane) - 1));
    if (own) {
      out.experts[first_out + at] = i;
      choice[at] = scores[i];
    }
    before += __popc(found);
  }
  __syncwarp();
  float sum = 0;
  for (int i = 0; i < before; ++i) sum += choice[i];
  const float divisor = rule.weights == RouteRule::Weights::kNormalized ? sum + 1e-20f : 1.0f;
  for (int i = lane; i < before; i += kWarp)
    out.weights[first_out + i] = choice[i] / divisor * rule.scale;
}

}  // namespace

void route(const RouteRule& rule, const float* logits, const float* correction, int64_t rows,
           const RouteOut& out, cudaStream_t stream) {
  if (rows == 0) return;
  const size_t shared = static_cast<size_t>(5 * rule.experts + rule.groups) * sizeof(float);
  launch({"route", static_cast<unsigned>(rows), kThreads, shared, stream, Order::kOverlapping},
         route_kernel, rule, logits, correction, out);
}

}  // namespace strake::cuda
