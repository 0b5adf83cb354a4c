#include "ops/cuda/expert_rows.h"
#include "ops/cuda/launch.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 256;

// A block a row.
__global__ void take_kernel(RowsTaken p) {
  const int64_t words = p.row_bytes / 2;
  const auto* const from = static_cast<const uint16_t*>(p.from) + p.rows[blockIdx.x] * words;
  auto* const to = static_cast<uint16_t*>(p.to) + blockIdx.x * words;
  for (int64_t i = threadIdx.x; i < words; i += kThreads) to[i] = from[i];
}

__global__ void mix_kernel(RowsMixed p) {
  const int64_t row = blockIdx.x;
  const int64_t leaf = blockIdx.y;
  const float factor = p.factors[row];
  const float* const from = p.from + (leaf * p.count + row) * p.width;
  float* const to = p.to + (leaf * p.to_rows + p.tokens[row]) * p.width;
  for (int64_t i = threadIdx.x; i < p.width; i += kThreads)
    to[i] = __fadd_rn(to[i], __fmul_rn(factor, from[i]));
}

}  // namespace

void take_rows(const RowsTaken& rows, cudaStream_t stream) {
  if (rows.count == 0) return;
  launch({"take rows", static_cast<unsigned>(rows.count), kThreads, 0, stream}, take_kernel, rows);
}

void mix_rows(const RowsMixed& rows, cudaStream_t stream) {
  if (rows.count == 0 || rows.leaves == 0) return;
  const dim3 grid(static_cast<unsigned>(rows.count), static_cast<unsigned>(rows.leaves));
  launch({"mix rows", grid, kThreads, 0, stream}, mix_kernel, rows);
}

}  // namespace strake::cuda
