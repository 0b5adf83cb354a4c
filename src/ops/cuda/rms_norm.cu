// Root-mean-square norms. In a decode step each stands between two products and is one block, for
// which everything waits.
#include "ops/cuda/elements.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/norms.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/row_norm.h"

namespace strake::cuda {
namespace {

// Columns that a thread has next to each other. It has every blockDim.x-th such four, and sums
// their squares in ascending order: the width alone decides a row's bits.
constexpr int kColumns = 4;
template <class T>
struct alignas(kColumns * sizeof(T)) Four {
  T at[kColumns];
};

// From each thread's sum of squares. A block calls it once.
__device__ float norm_factor(float squares, int64_t width, float eps, float* room) {
  const float sum = row_sum(squares, static_cast<int>(blockDim.x), room);
  return 1.0f / sqrtf(sum / static_cast<float>(width) + eps);
}

// Shared memory of rms_norm_held_kernel: sums of warps, the row, what is added to it, the weight.
constexpr int kRoomBytes = kMostNormWarps * sizeof(float);
static_assert(kRoomBytes % 16 == 0);
constexpr int64_t kMostHeldBytes = int64_t{97} << 10;
int64_t held_bytes(const NormRows& x, DType weight) {
  const int64_t floats = x.added == nullptr ? 1 : 2;
  return kRoomBytes + x.width * (floats * 4 + static_cast<int64_t>(size_of(weight)));
}

// A row is in shared memory between the sum of its squares and the result: all of it is asked for
// at once, and no registers hold it. For rows of whole 16 bytes.
template <class Out, class Weight>
__global__ void __launch_bounds__(kMostNormThreads, kLeastNormBlocks)
    rms_norm_held_kernel(const NormRows x, const Weight* weight, float eps, Out* out) {
  using Floats = Four<float>;
  const int64_t begin = blockIdx.x * x.width;
  const auto width = static_cast<int>(x.width);
  const int fours = width / kColumns;
  const auto thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  auto* const room = reinterpret_cast<float*>(dynamic_shared());
  auto* const values = reinterpret_cast<Floats*>(dynamic_shared() + kRoomBytes);
  auto* const added = values + fours;
  auto* const weights = reinterpret_cast<Four<Weight>*>(x.added == nullptr ? added : added + fours);
  // The weight does not come from the kernel before. Nor do those of the product behind this one,
  // which asks for half of a ring: while memory has nothing else to do.
  let_successor_start();
  bring(weights, weight, width * static_cast<int>(sizeof(Weight)));
  wait_for_predecessor();
  bring(values, x.rows + begin, width * 4);
  if (x.added != nullptr) bring(added, x.added + begin, width * 4);
  commit_copies();
  wait_for_copies<0>();
  float squares = 0;
#pragma unroll 1
  for (int i = thread; i < fours; i += threads) {
    Floats four = values[i];
    if (x.added != nullptr) {
      const Floats more = added[i];
#pragma unroll
      for (int j = 0; j < kColumns; ++j) four.at[j] += more.at[j];
      values[i] = four;
      reinterpret_cast<Floats*>(x.sum + begin)[i] = four;
    }
#pragma unroll
    for (int j = 0; j < kColumns; ++j) squares = fmaf(four.at[j], four.at[j], squares);
  }
  // Its barrier also lets every thread see the weight that others brought.
  const float factor = norm_factor(squares, width, eps, room);
#pragma unroll 1
  for (int i = thread; i < fours; i += threads) {
    const Floats four = values[i];
    const Four<Weight> by = weights[i];
    Four<Out> normed;
#pragma unroll
    for (int j = 0; j < kColumns; ++j)
      normed.at[j] = from_float<Out>(four.at[j] * factor * to_float(by.at[j]));
    reinterpret_cast<Four<Out>*>(out + begin)[i] = normed;
  }
}

// The same for any row, which is read twice.
template <class Out, class Weight>
__global__ void __launch_bounds__(kMostNormThreads)
    rms_norm_any_kernel(const NormRows x, const Weight* weight, float eps, Out* out) {
  __shared__ float room[kMostNormWarps];
  const int64_t begin = blockIdx.x * x.width;
  const auto for_columns = [&](const auto& body) {
    const int64_t step = int64_t{kColumns} * blockDim.x;
    for (int64_t first = int64_t{kColumns} * threadIdx.x; first < x.width; first += step)
      for (int64_t i = first; i < min(first + kColumns, x.width); ++i) body(i);
  };
  begin_after_predecessor();
  if (x.added != nullptr)
    for_columns([&](int64_t i) { x.sum[begin + i] = x.rows[begin + i] + x.added[begin + i]; });
  const float* const values = (x.added == nullptr ? x.rows : x.sum) + begin;
  float squares = 0;
  for_columns([&](int64_t i) { squares = fmaf(values[i], values[i], squares); });
  const float factor = norm_factor(squares, x.width, eps, room);
  for_columns([&](int64_t i) {
    out[begin + i] = from_float<Out>(values[i] * factor * to_float(weight[i]));
  });
}

bool can_hold(const NormRows& x, const NormWeight& norm, const NormOut& out) {
  const auto whole = [](const void* at) { return reinterpret_cast<uintptr_t>(at) % 16 == 0; };
  return x.width % 8 == 0 && whole(x.rows) && whole(x.added) && whole(x.sum) &&
         whole(norm.weight) && whole(out.data) && held_bytes(x, norm.dtype) <= kMostHeldBytes;
}

}  // namespace

void rms_norm(const NormRows& x, const NormWeight& norm, const NormOut& out, cudaStream_t stream) {
  if (x.count == 0 || x.width == 0) return;
  const bool held = can_hold(x, norm, out);
  const Launch at{"rms_norm",
                  static_cast<unsigned>(x.count),
                  static_cast<unsigned>(rms_norm_threads(x.width)),
                  held ? static_cast<size_t>(held_bytes(x, norm.dtype)) : 0,
                  stream,
                  Order::kOverlapping};
  visit_floating(out.dtype, [&]<class Out>(Out) {
    visit_floating(norm.dtype, [&]<class Weight>(Weight) {
      launch(at, held ? rms_norm_held_kernel<Out, Weight> : rms_norm_any_kernel<Out, Weight>, x,
             static_cast<const Weight*>(norm.weight), norm.eps, static_cast<Out*>(out.data));
    });
  });
}

}  // namespace strake::cuda
