#include "ops/cuda/codes.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/transpose.h"

namespace strake::cuda {
namespace {

constexpr int kTile = 32;
constexpr int kRowsAtOnce = 8;

template <class To>
__global__ void transpose_kernel(Turned p) {
  __shared__ float tile[kTile][kTile + 1];
  const int64_t matrix = int64_t{blockIdx.z} * p.rows * p.columns;
  const int64_t column = int64_t{blockIdx.x} * kTile, row = int64_t{blockIdx.y} * kTile;
  const int x = static_cast<int>(threadIdx.x);
  for (int y = static_cast<int>(threadIdx.y); y < kTile; y += kRowsAtOnce)
    if (row + y < p.rows && column + x < p.columns)
      tile[y][x] =
          load_floating(p.from, p.from_dtype, matrix + (row + y) * p.columns + column + x);
  __syncthreads();
  for (int y = static_cast<int>(threadIdx.y); y < kTile; y += kRowsAtOnce)
    if (column + y < p.columns && row + x < p.rows)
      static_cast<To*>(p.to)[matrix + (column + y) * p.rows + row + x] = from_float<To>(tile[x][y]);
}

}  // namespace

void transpose(const Turned& matrices, cudaStream_t stream) {
  if (matrices.count * matrices.rows * matrices.columns == 0) return;
  const auto tiles = [](int64_t extent) {
    return static_cast<unsigned>((extent + kTile - 1) / kTile);
  };
  const Launch at{"transpose",
                  {tiles(matrices.columns), tiles(matrices.rows),
                   static_cast<unsigned>(matrices.count)},
                  {kTile, kRowsAtOnce},
                  0,
                  stream};
  visit_floating(matrices.to_dtype, [&]<class To>(To) {
    launch(at, transpose_kernel<To>, matrices);
  });
}

}  // namespace strake::cuda
