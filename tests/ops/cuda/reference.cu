#include "tests/ops/cuda/reference.h"

#include "ops/cuda/launch.h"

namespace strake::cuda {
namespace {

constexpr int kSide = 16;

__global__ void product_kernel(ReferenceProduct p) {
  __shared__ float x[kSide][kSide + 1];
  __shared__ float w[kSide][kSide + 1];
  const int in_x = static_cast<int>(threadIdx.x);
  const int in_y = static_cast<int>(threadIdx.y);
  const int output = static_cast<int>(blockIdx.x) * kSide + in_x;
  const int row = static_cast<int>(blockIdx.y) * kSide + in_y;
  const int output_of_load = static_cast<int>(blockIdx.x) * kSide + in_y;
  double sum = 0;
  for (int begin = 0; begin < p.columns; begin += kSide) {
    const int column = begin + in_x;
    const bool there = column < p.columns;
    x[in_y][in_x] =
        there && row < p.rows ? p.x[static_cast<int64_t>(row) * p.columns + column] : 0.0f;
    w[in_y][in_x] = there && output_of_load < p.outputs
                        ? p.w[static_cast<int64_t>(output_of_load) * p.columns + column]
                        : 0.0f;
    __syncthreads();
    for (int i = 0; i < kSide; ++i)
      sum += static_cast<double>(x[in_y][i]) * static_cast<double>(w[in_x][i]);
    __syncthreads();
  }
  if (row < p.rows && output < p.outputs)
    p.out[static_cast<int64_t>(row) * p.outputs + output] = sum;
}

}  // namespace

void reference_product(const ReferenceProduct& product, cudaStream_t stream) {
  const auto blocks = [](int count) { return static_cast<unsigned>((count + kSide - 1) / kSide); };
  launch({"reference product", dim3(blocks(product.outputs), blocks(product.rows)),
          dim3(kSide, kSide), 0, stream},
         product_kernel, product);
}

}  // namespace strake::cuda
