#include "ops/cuda/embedding.h"
#include "ops/cuda/codes.h"

#include "ops/cuda/launch.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 256;

// A block a row.
__global__ void dense_kernel(const void* elements, DType dtype, int64_t width, const int32_t* ids,
                             float* out) {
  const int64_t from = int64_t{ids[blockIdx.x]} * width;
  for (int64_t i = threadIdx.x; i < width; i += kThreads)
    out[blockIdx.x * width + i] = load_floating(elements, dtype, from + i);
}

__global__ void coded_kernel(CodedRows rows, CodeFormat format, int64_t width, const int32_t* ids,
                             float* out) {
  const int64_t row = ids[blockIdx.x];
  for (int64_t i = threadIdx.x; i < width; i += kThreads)
    out[blockIdx.x * width + i] = decode(rows, format, row, width, i);
}

}  // namespace

void embedding(const Table& table, const int32_t* ids, int64_t count, float* out,
               cudaStream_t stream) {
  if (count == 0 || table.width == 0) return;
  const Launch at{"embedding", static_cast<unsigned>(count), kThreads, 0, stream};
  if (!table.format)
    return launch(at, dense_kernel, table.elements, table.dtype, table.width, ids, out);
  const CodedRows rows{static_cast<const uint32_t*>(table.elements), table.scales, table.biases};
  launch(at, coded_kernel, rows, *table.format, table.width, ids, out);
}

}  // namespace strake::cuda
