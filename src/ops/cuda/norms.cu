#include "ops/cuda/codes.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/norms.h"
#include "ops/cuda/ptx.h"
#include "ops/cuda/reduce.h"
#include "ops/cuda/row_norm.h"

namespace strake::cuda {
namespace {

// Threads a row: the width alone decides.
int threads_for(int64_t width) {
  int threads = kWarp;
  while (threads < 1024 && threads * 8 < width) threads *= 2;
  return threads;
}

// Calls body(column, value) for the thread's columns of a row, in ascending order.
template <class Body>
__device__ void for_columns(const NormRows& x, int64_t row, const Body& body) {
  for (int64_t i = threadIdx.x; i < x.width; i += blockDim.x) body(i, x.rows[row * x.width + i]);
}

template <class Out>
__global__ void layer_norm_kernel(NormRows x, NormWeight norm, Out* out) {
  __shared__ float room[kWarp + 1];
  const int64_t row = blockIdx.x;
  const auto width = static_cast<float>(x.width);
  begin_after_predecessor();
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
        from_float<Out>(layer_normed(v - mean, factor, load_floating(norm.weight, norm.dtype, i),
                                     load_floating(norm.bias, norm.bias_dtype, i)));
  });
}

__global__ void sum_squares_kernel(NormRows x, float* out) {
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
  float* const stack = reinterpret_cast<float*>(dynamic_shared()) + threadIdx.x;
  begin_after_predecessor();
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < elements)
    out[i] = combine(steps, pieces + i, elements, stack, static_cast<int>(blockDim.x));
}

// A block a row.
Launch rows_of(const char* what, const NormRows& x, cudaStream_t stream) {
  return {what,
          static_cast<unsigned>(x.count),
          static_cast<unsigned>(threads_for(x.width)),
          0,
          stream,
          Order::kOverlapping};
}

bool is_empty(const NormRows& x) { return x.count == 0 || x.width == 0; }

}  // namespace

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
  const size_t stacks = steps.count > 1 ? size_t{SumSteps::kDepth} * kThreads * sizeof(float) : 0;
  launch({"finish_sums", static_cast<unsigned>((elements + kThreads - 1) / kThreads), kThreads,
          stacks, stream, Order::kOverlapping},
         finish_sums_kernel, pieces, steps, elements, out);
}

}  // namespace strake::cuda
