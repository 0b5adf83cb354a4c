#include "ops/cuda/routing.h"

#include <algorithm>

#include "ops/cuda/launch.h"
#include "ops/cuda/order.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/reduce.h"

namespace strake::cuda {
namespace {

constexpr unsigned kAll = 0xffffffffu;
constexpr uint32_t kNone = 0;  // below every number
constexpr int kMostThreads = 256;

// x / kBy as division rounds it: what is left over is exact, and a quotient by so small a number is
// never as near to the middle between two others as what the correction is off by.
template <int kBy>
__device__ double divided(double x) {
  constexpr double kInverse = 1.0 / kBy;
  const double quotient = __dmul_rn(x, kInverse);
  return __fma_rn(__fma_rn(-quotient, kBy, x), kInverse, quotient);
}

// 1 + r / kTerm (1 + r / (kTerm + 1) (... `sum`)).
template <int kTerm>
__device__ double exp_terms(double sum, double r) {
  sum = __dadd_rn(1, divided<kTerm>(__dmul_rn(sum, r)));
  if constexpr (kTerm > 1) return exp_terms<kTerm - 1>(sum, r);
  return sum;
}

// The CPU's exponential (src/ops/cpu/routing.cpp), with the result of each of its operations.
__device__ double exp_everywhere(double x) {
  constexpr double kLn2High = 0x1.62e42feep-1;
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  if (x < -700) return 0;
  if (x > 700) x = 700;
  const double n = floor(__dadd_rn(__dmul_rn(x, 0x1.71547652b82fep+0), 0.5));
  const double r = __dsub_rn(__dsub_rn(x, __dmul_rn(n, kLn2High)), __dmul_rn(n, kLn2Low));
  return ldexp(exp_terms<14>(1, r), static_cast<int>(n));
}

// The warp's work on one row: expert 32 i + lane is in a lane's value i.
struct Row {
  const RouteRule& rule;
  float* scores;    // [experts], shared memory
  uint32_t* order;  // [experts]: what is chosen by; kNone once it is
  int lane;

  // Takes the largest of order[begin..end), of equal ones the first; its index.
  __device__ int take_largest(int begin, int end) const {
    uint32_t most = kNone;
    int at = end;
    for (int i = begin + lane; i < end; i += 32)
      if (order[i] > most) {
        most = order[i];
        at = i;
      }
    const uint32_t largest = __reduce_max_sync(kAll, most);
    const int first = __reduce_min_sync(kAll, most == largest ? at : end);
    __syncwarp();
    if (lane == 0 && first < end) order[first] = kNone;
    __syncwarp();
    return first;
  }

  // Softmax of the chosen, whose order is `kNone`.
  __device__ void softmax_of_chosen(const float* logits) const {
    const auto is_chosen = [&](int i) { return order[i] == kNone; };
    float largest = -INFINITY;
    for (int i = lane; i < rule.experts; i += 32)
      if (is_chosen(i)) largest = fmaxf(largest, logits[i]);
    largest = warp_max(largest);
    double sum = 0;
    for (int i = lane; i < rule.experts; i += 32)
      if (is_chosen(i)) sum += exp_everywhere(double{logits[i]} - double{largest});
    sum = warp_sum(sum);
    for (int i = lane; i < rule.experts; i += 32)
      if (is_chosen(i))
        scores[i] = static_cast<float>(exp_everywhere(double{logits[i]} - double{largest}) / sum);
  }
};

// Calls body(i) for the thread's own experts.
template <class Body>
__device__ void for_experts(const RouteRule& rule, const Body& body) {
#pragma unroll 1
  for (auto i = static_cast<int>(threadIdx.x); i < rule.experts; i += static_cast<int>(blockDim.x))
    body(i);
}

// Scores of all experts, by all threads of the block: an exponential takes one of them the
// better part of a microsecond. Of kSoftmaxOfChosen they come later. `exps` [experts] is room.
__device__ void score(const RouteRule& rule, const float* logits, float* scores, double* exps) {
  switch (rule.scores) {
    case RouteRule::Scores::kSoftmaxOfChosen:
      return for_experts(rule, [&](int i) { scores[i] = logits[i]; });
    case RouteRule::Scores::kSigmoid:
      return for_experts(rule, [&](int i) {
        scores[i] = static_cast<float>(1 / (1 + exp_everywhere(-double{logits[i]})));
      });
    case RouteRule::Scores::kSoftmax:
      break;
  }
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float largest = -INFINITY;
  for (int i = lane; i < rule.experts; i += kWarp) largest = fmaxf(largest, logits[i]);
  largest = warp_max(largest);
  for_experts(rule, [&](int i) { exps[i] = exp_everywhere(double{logits[i]} - double{largest}); });
  __syncthreads();
  double sum = 0;
  for (int i = lane; i < rule.experts; i += kWarp) sum += exps[i];
  sum = warp_sum(sum);
  for_experts(rule, [&](int i) { scores[i] = static_cast<float>(exps[i] / sum); });
}

// Leaves the experts of the best groups; others count as 0. `choice` [experts] is what they are
// chosen by, `quality` [groups] room.
__device__ void leave_best_groups(const Row& row, const float* choice, uint32_t* quality) {
  const RouteRule& rule = row.rule;
  const int size = rule.experts / rule.groups;
  for (int group = 0; group < rule.groups; ++group) {
    float sum = 0;
    for (int term = 0; term < rule.group_terms; ++term)
      sum += choice[row.take_largest(group * size, (group + 1) * size)];
    if (row.lane == 0) quality[group] = ordered(sum);
  }
  __syncwarp();
  // The best groups' entries become kNone.
  const Row groups{rule, nullptr, quality, row.lane};
  for (int i = 0; i < rule.chosen_groups; ++i) groups.take_largest(0, rule.groups);
  for (int i = row.lane; i < rule.experts; i += 32)
    row.order[i] = quality[i / size] == kNone ? ordered(choice[i]) : ordered(0.0f);
  __syncwarp();
}

// A block a row, of which one warp chooses.
__global__ void route_kernel(const RouteRule rule, const float* all_logits, const float* correction,
                             RouteOut out) {
  auto* const exps = reinterpret_cast<double*>(dynamic_shared());
  auto* const scores = reinterpret_cast<float*>(exps + rule.experts);
  float* const choice = scores + rule.experts;
  auto* const order = reinterpret_cast<uint32_t*>(choice + rule.experts);
  uint32_t* const quality = order + rule.experts;
  const float* const logits = all_logits + int64_t{blockIdx.x} * rule.experts;
  const bool corrected =
      correction != nullptr && rule.scores != RouteRule::Scores::kSoftmaxOfChosen;
  let_successor_start();
  // Does not come from the kernel before.
  if (corrected) for_experts(rule, [&](int i) { choice[i] = correction[i]; });
  wait_for_predecessor();
  int nan = 0;
  for_experts(rule, [&](int i) { nan |= logits[i] != logits[i] ? 1 : 0; });
  nan = __syncthreads_or(nan);
  if (nan && threadIdx.x == 0) *out.invalid = 1;
  score(rule, logits, scores, exps);
  for_experts(rule, [&](int i) {
    choice[i] = corrected ? scores[i] + choice[i] : scores[i];
    order[i] = ordered(nan ? 0.0f : choice[i]);
  });
  __syncthreads();
  if (threadIdx.x >= kWarp) return;
  const auto lane = static_cast<int>(threadIdx.x);
  const Row row{rule, scores, order, lane};
  const auto is_chosen = [&](int i) { return order[i] == kNone; };
  if (rule.groups > 1 && rule.scores != RouteRule::Scores::kSoftmaxOfChosen && !nan)
    leave_best_groups(row, choice, quality);
  for (int i = 0; i < rule.chosen; ++i) row.take_largest(0, rule.experts);
  if (rule.scores == RouteRule::Scores::kSoftmaxOfChosen) row.softmax_of_chosen(logits);
  __syncwarp();

  // In ascending order of experts, as all sums over them.
  float sum = 0;
  for (int first = 0; first < rule.experts; first += 32) {
    unsigned found = __ballot_sync(kAll, first + lane < rule.experts && is_chosen(first + lane));
    for (; found != 0; found &= found - 1)
      sum += scores[first + __ffs(static_cast<int>(found)) - 1];
  }
  const float divisor = rule.weights == RouteRule::Weights::kNormalized ? sum + 1e-20f : 1.0f;
  int64_t at = int64_t{blockIdx.x} * rule.chosen;
  for (int first = 0; first < rule.experts; first += 32) {
    const bool own = first + lane < rule.experts && is_chosen(first + lane);
    const unsigned found = __ballot_sync(kAll, own);
    if (own) {
      const int64_t to = at + __popc(found & ((1u << lane) - 1));
      out.experts[to] = first + lane;
      out.weights[to] = scores[first + lane] / divisor * rule.scale;
    }
    at += __popc(found);
  }
}

}  // namespace

void route(const RouteRule& rule, const float* logits, const float* correction, int64_t rows,
           const RouteOut& out, cudaStream_t stream) {
  if (rows == 0) return;
  const size_t shared = static_cast<size_t>(rule.experts) * sizeof(double) +
                        static_cast<size_t>(3 * rule.experts + rule.groups) * sizeof(float);
  const int threads = std::min((rule.experts + kWarp - 1) / kWarp * kWarp, kMostThreads);
  launch({"route", static_cast<unsigned>(rows), static_cast<unsigned>(threads), shared, stream,
          Order::kOverlapping},
         route_kernel, rule, logits, correction, out);
}

}  // namespace strake::cuda
