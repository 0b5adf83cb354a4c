#include "ops/cuda/codes.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/plain_product.h"
#include "ops/cuda/reduce.h"

namespace strake::cuda {
namespace {

constexpr int kWarps = 8;

// A warp a result.
__global__ void product_kernel(PlainProduct p) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int64_t row = blockIdx.y;
  const int64_t output = int64_t{blockIdx.x} * kWarps + threadIdx.x / kLanes;
  if (output >= p.outputs) return;
  const int64_t inputs = p.leaves.inputs();
  const int64_t x = (p.source != nullptr ? p.source[row] : row) * inputs;
  const int64_t w = ((p.matrix != nullptr ? p.matrix[row] : 0) * p.outputs + output) * inputs;
  float stack[kMaxLeaves];
  int height = 0;
  for (int leaf = 0; leaf < p.leaves.count; ++leaf) {
    float sum = 0;
    for (int64_t k = p.leaves.cuts[leaf] + lane; k < p.leaves.cuts[leaf + 1]; k += kLanes)
      sum = fmaf(load_floating(p.x, p.x_dtype, x + k), load_floating(p.w, p.w_dtype, w + k), sum);
    stack[height++] = warp_sum(sum);
    for (int merge = 0; merge < p.steps.merges[leaf]; ++merge) {
      --height;
      stack[height - 1] += stack[height];
    }
    if (p.steps.node[leaf] < 0) continue;
    --height;
    if (lane == 0)
      p.out[(int64_t{p.steps.node[leaf]} * p.rows + row) * p.outputs + output] = stack[height];
  }
}

}  // namespace

void plain_product(const PlainProduct& product, cudaStream_t stream) {
  if (product.rows == 0 || product.outputs == 0) return;
  if (product.rows > 65535)
    throw Error(ErrorKind::kUnsupported, "cuda: a product of more than 65535 rows");
  const dim3 grid(static_cast<unsigned>((product.outputs + kWarps - 1) / kWarps),
                  static_cast<unsigned>(product.rows));
  launch({"plain product", grid, kWarps * kLanes, 0, stream}, product_kernel, product);
}

}  // namespace strake::cuda
