#include "ops/cuda/held_rows.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 256;

// -1: nobody's.
__device__ int find(const HeldTable& table, int64_t id) {
  for (int i = 0; i < table.count; ++i)
    if (table.held[i].begin <= id && id < table.held[i].end) return i;
  return -1;
}

__global__ void own_rows_kernel(OwnRows p) {
  begin_after_predecessor();
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= p.count) return;
  const int64_t id = p.ids[i];
  // Several ranges of one id's: those of the part count.
  int32_t row = p.otherwise;
  for (int r = 0; r < p.table.count; ++r) {
    const HeldRows& held = p.table.held[r];
    if (held.part == p.part && held.begin <= id && id < held.end)
      row = static_cast<int32_t>(id - held.begin + held.first);
  }
  p.out[i] = row;
}

// A block a row.
__global__ void pick_rows_kernel(PickedRows p) {
  begin_after_predecessor();
  const int64_t row = blockIdx.x;
  const int found = find(p.table, p.ids[row]);
  const int64_t part = found < 0 ? 0 : p.table.held[found].part;
  const float* const from = p.pieces + (part * p.count + row) * p.width;
  for (int64_t i = threadIdx.x; i < p.width; i += kThreads) p.out[row * p.width + i] = from[i];
}

// A block a row.
__global__ void spread_weights_kernel(SpreadWeights p) {
  begin_after_predecessor();
  const int64_t row = blockIdx.x;
  for (int64_t expert = threadIdx.x; expert < p.all; expert += kThreads) {
    float weight = 0;
    for (int64_t i = row * p.chosen; i < (row + 1) * p.chosen; ++i)
      if (p.experts[i] == expert) weight = p.weights[i];
    p.out[row * p.all + expert] = weight;
  }
}

}  // namespace

void own_rows(const OwnRows& rows, cudaStream_t stream) {
  if (rows.count == 0) return;
  launch({"own rows", static_cast<unsigned>((rows.count + kThreads - 1) / kThreads), kThreads, 0,
          stream, Order::kOverlapping},
         own_rows_kernel, rows);
}

void pick_rows(const PickedRows& rows, cudaStream_t stream) {
  if (rows.count == 0 || rows.width == 0) return;
  launch({"pick rows", static_cast<unsigned>(rows.count), kThreads, 0, stream, Order::kOverlapping},
         pick_rows_kernel, rows);
}

void spread_weights(const SpreadWeights& spread, cudaStream_t stream) {
  if (spread.rows == 0) return;
  launch({"spread weights", static_cast<unsigned>(spread.rows), kThreads, 0, stream,
          Order::kOverlapping},
         spread_weights_kernel, spread);
}

}  // namespace strake::cuda
