#include <algorithm>

#include "ops/cuda/codes.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/norms.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/reduce.h"

namespace strake::cuda {
namespace {

// Threads a row: the width alone decides.
int threads_for(int64_t width) {
  int threads = kWarp;
  while (threads < 1024 && threads * 8 < width) threads *= 2;
  return threads;
}

__device__ float* stack_of_thread() {
  return reinterpret_cast<float*>(dynamic_shared()) + threadIdx.x;
}

size_t stack_bytes(const SumSteps& steps, int threads) {
  return steps.count > 1 ? size_t{SumSteps::kDepth} * static_cast<size_t>(threads) * sizeof(float)
                         : 0;
}

// Calls body(column, value) for the thread's columns of what is normed, in ascending order.
template <class Body>
__device__ void for_columns(const NormRows& x, int64_t row, const Body& body) {
  const float* const from = x.pieces != nullptr ? x.sum : x.rows;
  for (int64_t i = threadIdx.x; i < x.width; i += blockDim.x) body(i, from[row * x.width + i]);
}

// An element with the pieces added.
__device__ float with_pieces(const NormRows& x, int64_t row, int64_t column) {
  const int64_t at = row * x.width + column;
  const float value = x.rows[at];
  if (x.pieces == nullptr) return value;
  float sum = combine(x.steps, x.pieces + at, x.count * x.width, stack_of_thread(),
                      static_cast<int>(blockDim.x));
  if (x.bias != nullptr) sum += x.bias[column];
  return value + sum;
}

// The thread's own columns of the row's sum.
__device__ void add_pieces(const NormRows& x, int64_t row) {
  if (x.pieces == nullptr) return;
  for (int64_t i = threadIdx.x; i < x.width; i += blockDim.x)
    x.sum[row * x.width + i] = with_pieces(x, row, i);
}

// Columns of a row that each thread holds at once, all asked for before the first is there.
constexpr int kHeld = 8;

template <class Out>
__device__ void rms_norm_held(const NormRows& x, const NormWeight& norm, Out* out, float* room) {
  const int64_t row = blockIdx.x;
  float weights[kHeld], values[kHeld];
  // Weights do not come from the kernel before.
#pragma unroll
  for (int j = 0; j < kHeld; ++j) {
    const int64_t i = threadIdx.x + j * blockDim.x;
    weights[j] = i < x.width ? load_floating(norm.weight, norm.dtype, i) : 0.0f;
  }
  wait_for_predecessor();
  float squares = 0;
#pragma unroll
  for (int j = 0; j < kHeld; ++j) {
    const int64_t i = threadIdx.x + j * blockDim.x;
    values[j] = i < x.width ? with_pieces(x, row, i) : 0.0f;
  }
  // Only now: weights that the next kernel asks for would be in the way.
  let_successor_start();
#pragma unroll
  for (int j = 0; j < kHeld; ++j) {
    const int64_t i = threadIdx.x + j * blockDim.x;
    if (x.pieces != nullptr && i < x.width) x.sum[row * x.width + i] = values[j];
  }
#pragma unroll
  for (int j = 0; j < kHeld; ++j) squares += values[j] * values[j];
  const float mean = block_sum(squares, room) / static_cast<float>(x.width);
  const float factor = 1.0f / sqrtf(mean + norm.eps);
#pragma unroll
  for (int j = 0; j < kHeld; ++j) {
    const int64_t i = threadIdx.x + j * blockDim.x;
    if (i < x.width) out[row * x.width + i] = from_float<Out>(values[j] * factor * weights[j]);
  }
}

template <class Out>
__global__ void rms_norm_kernel(const __grid_constant__ NormRows x, NormWeight norm, Out* out) {
  __shared__ float room[kWarp + 1];
  if (x.width <= int64_t{kHeld} * blockDim.x) return rms_norm_held(x, norm, out, room);
  let_successor_start();
  wait_for_predecessor();
  const int64_t row = blockIdx.x;
  add_pieces(x, row);
  float squares = 0;
  for_columns(x, row, [&](int64_t, float v) { squares += v * v; });
  const float mean = block_sum(squares, room) / static_cast<float>(x.width);
  const float factor = 1.0f / sqrtf(mean + norm.eps);
  for_columns(x, row, [&](int64_t i, float v) {
    out[row * x.width + i] =
        from_float<Out>(v * factor * load_floating(norm.weight, norm.dtype, i));
  });
}

template <class Out>
__global__ void layer_norm_kernel(const __grid_constant__ NormRows x, NormWeight norm, Out* out) {
  __shared__ float room[kWarp + 1];
  const int64_t row = blockIdx.x;
  const auto width = static_cast<float>(x.width);
  begin_after_predecessor();
  add_pieces(x, row);
  float sum = 0;
  for_columns(x, row, [&](int64_t, float v) { sum += v; });
  float mean = block_sum(sum, room) / width;
  // What rounding left of the mean is taken off, too.
  sum = 0;
  for_columns(x, row, [&](int64_t, float v) { sum += v - mean; });
  mean += block_sum(sum, room) / width;
  float squares = 0;
  for_columns(x, row, [&](int64_t, float v) { squares += (v - mean) * (v - mean); });
  const float factor = 1.0f / sqrtf(block_sum(squares, room) / width + norm.eps);
  for_columns(x, row, [&](int64_t i, float v) {
    out[row * x.width + i] =
        from_float<Out>((v - mean) * factor * load_floating(norm.weight, norm.dtype, i) +
                        load_floating(norm.bias, norm.bias_dtype, i));
  });
}

__global__ void sum_squares_kernel(const __grid_constant__ NormRows x, float* out) {
  __shared__ float room[kWarp + 1];
  begin_after_predecessor();
  float squares = 0;
  for_columns(x, blockIdx.x, [&](int64_t, float v) { squares += v * v; });
  squares = block_sum(squares, room);
  if (threadIdx.x == 0) out[blockIdx.x] = squares;
}

template <class Out>
__global__ void rms_norm_part_kernel(NormRows x, SquareSums squares, NormWeight norm, Out* out) {
  begin_after_predecessor();
  const int64_t row = blockIdx.x;
  float sum = 0;
  for (int64_t i = 0; i < squares.parts; ++i) sum += squares.sums[row * squares.parts + i];
  const float factor = 1.0f / sqrtf(sum / static_cast<float>(squares.width) + norm.eps);
  for_columns(x, row, [&](int64_t i, float v) {
    out[row * x.width + i] =
        from_float<Out>(v * factor * load_floating(norm.weight, norm.dtype, i));
  });
}

__global__ void finish_sums_kernel(const float* pieces, SumSteps steps, int64_t elements,
                                   float* out) {
  begin_after_predecessor();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < elements)
    out[i] = combine(steps, pieces + i, elements, stack_of_thread(), static_cast<int>(blockDim.x));
}

// A block a row.
Launch rows_of(const char* what, const NormRows& x, cudaStream_t stream) {
  const int threads = threads_for(x.width);
  return {what,
          static_cast<unsigned>(x.count),
          static_cast<unsigned>(threads),
          stack_bytes(x.steps, threads),
          stream,
          Order::kOverlapping};
}

bool is_empty(const NormRows& x) { return x.count == 0 || x.width == 0; }

}  // namespace

void rms_norm(const NormRows& x, const NormWeight& norm, const NormOut& out, cudaStream_t stream) {
  if (is_empty(x)) return;
  visit_floating(out.dtype, [&]<class Out>(Out) {
    launch(rows_of("rms_norm", x, stream), rms_norm_kernel<Out>, x, norm,
           static_cast<Out*>(out.data));
  });
}

void layer_norm(const NormRows& x, const NormWeight& norm, const NormOut& out,
                cudaStream_t stream) {
  if (is_empty(x)) return;
  visit_floating(out.dtype, [&]<class Out>(Out) {
    launch(rows_of("layer_norm", x, stream), layer_norm_kernel<Out>, x, norm,
           static_cast<Out*>(out.data));
  });
}

void sum_squares(const NormRows& x, float* out, cudaStream_t stream) {
  if (x.count == 0) return;
  launch(rows_of("sum_squares", x, stream), sum_squares_kernel, x, out);
}

void rms_norm_part(const NormRows& x, const SquareSums& squares, const NormWeight& norm,
                   const NormOut& out, cudaStream_t stream) {
  if (is_empty(x)) return;
  visit_floating(out.dtype, [&]<class Out>(Out) {
    launch(rows_of("rms_norm_part", x, stream), rms_norm_part_kernel<Out>, x, squares, norm,
           static_cast<Out*>(out.data));
  });
}

void finish_sums(const float* pieces, const SumSteps& steps, int64_t elements, float* out,
                 cudaStream_t stream) {
  if (elements == 0) return;
  constexpr int kThreads = 256;
  launch({"finish_sums", static_cast<unsigned>((elements + kThreads - 1) / kThreads), kThreads,
          stack_bytes(steps, kThreads), stream, Order::kOverlapping},
         finish_sums_kernel, pieces, steps, elements, out);
}

}  // namespace strake::cuda
