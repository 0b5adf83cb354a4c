#include "ops/cuda/dense_rows.h"

#include "ops/cuda/elements.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/weight_layout.h"

namespace strake::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kRows = 4;  // of activations, at a time

// A warp makes one output of some rows: each lane sums every 32nd product of a leaf, the lanes' sums
// meet pairwise, and the first lane combines leaves.
template <class Weight, class Activation>
__global__ void __launch_bounds__(kWarps* kLanes) dense_rows_kernel(DenseRowsCall call) {
  __shared__ float sums[kWarps][kRows][kMaxLeaves];
  const int warp = static_cast<int>(threadIdx.x) / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int64_t output = int64_t{blockIdx.x} * kWarps + warp;
  const int first = static_cast<int>(blockIdx.y) * kRows;
  const int rows = min(kRows, call.rows - first);
  if (output >= call.outputs) return;
  const auto* const w =
      static_cast<const Weight*>(call.weight) + output * int64_t{call.leaves.inputs()};
  const auto* const x = static_cast<const Activation*>(call.x) + first * call.x_stride;
  for (int leaf = 0; leaf < call.leaves.count; ++leaf) {
    float sum[kRows] = {};
    for (int k = call.leaves.cuts[leaf] + lane; k < call.leaves.cuts[leaf + 1]; k += kLanes) {
      const float weight = to_float(w[k]);
#pragma unroll
      for (int row = 0; row < kRows; ++row)
        if (row < rows) sum[row] = fmaf(to_float(x[row * call.x_stride + k]), weight, sum[row]);
    }
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      for (int other = kLanes / 2; other > 0; other /= 2)
        sum[row] += __shfl_xor_sync(~0u, sum[row], other);
      if (lane == 0) sums[warp][row][leaf] = sum[row];
    }
  }
  __syncwarp();
  if (lane >= rows) return;
  float* const stack = sums[warp][lane];
  int top = -1;
  for (int leaf = 0; leaf < call.leaves.count; ++leaf) {
    ++top;
    float value = stack[leaf];
    for (int merge = 0; merge < call.steps.merges[leaf]; ++merge) value = stack[--top] + value;
    stack[top] = value;
    const int node = call.steps.node[leaf];
    if (node < 0) continue;
    --top;
    call.out[(int64_t{node} * call.rows + first + lane) * call.outputs + output] = value;
  }
}

}  // namespace

void dense_rows(const DenseRowsCall& call, cudaStream_t stream) {
  if (call.rows == 0 || call.outputs == 0) return;
  const dim3 grid(static_cast<unsigned>((call.outputs + kWarps - 1) / kWarps),
                  static_cast<unsigned>((call.rows + kRows - 1) / kRows));
  visit_floating(call.weight_dtype, [&](auto weight) {
    visit_floating(call.x_dtype, [&](auto x) {
      launch({"dense rows", grid, kWarps * kLanes, 0, stream},
             dense_rows_kernel<decltype(weight), decltype(x)>, call);
    });
  });
}

}  // namespace strake::cuda
