// Products with many rows by mma.sync, for every GPU: 64 outputs x 64 tokens a block, nothing
// overlapped. Also what the faster kernel is compared with.
#include "ops/cuda/launch.h"
#include "ops/cuda/many_rows_result.h"
#include "ops/cuda/many_rows_start.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {
namespace {

constexpr int kTokens = 64;
constexpr int kWarps = 4;  // a row tile each
constexpr int kThreads = 32 * kWarps;
constexpr int kRowElements = kTileInputs + 8;  // in shared memory: rows fall on other banks
constexpr int kBlocks = kTokens / 8;           // of 8 tokens, for a warp
constexpr int kDepth = 8;                      // of the stack of sums

using Activations = uint16_t[kTokens][kRowElements];

// x from `column` on, zeros where it has no more rows or columns.
__device__ void load_tile(const PlainActivations& x, int tokens, int first, int64_t column,
                          Activations& tile) {
  for (int i = static_cast<int>(threadIdx.x); i < kTokens * kTileInputs; i += kThreads) {
    const int row = i / kTileInputs;
    const int64_t at = column + i % kTileInputs;
    const bool there = first + row < tokens && at < x.columns;
    tile[row][i % kTileInputs] = there ? x.data[(first + row) * x.stride + at] : uint16_t{0};
  }
}

template <class Fragment>
__global__ void __launch_bounds__(kThreads)
    mma_kernel(const __grid_constant__ ManyRowsParameters p,
               const __grid_constant__ PackedPointers weights, const PlainActivations x) {
  __shared__ Activations tile;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row_tile = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  const int first = static_cast<int>(blockIdx.y) * kTokens;
  const auto packed =
      static_cast<uint32_t>(min(row_tile, p.row_tiles - 1)) * static_cast<uint32_t>(p.row_k_tiles);
  uint32_t at = packed + static_cast<uint32_t>(p.piece_tile[0]);
  float stack[kDepth][kBlocks][4];
  float sums[kBlocks][4];
  int height = 0;
  int run = 0;
  int column = p.runs[0].column;
  int left = p.runs[0].tiles;
  for (int index = 0; index < p.sum_begin[1]; ++index) {
    for (auto& block : sums)
      for (float& sum : block) sum = 0;
    for (int i = 0; i < p.sums[index].tiles; ++i) {
      __syncthreads();
      load_tile(x, p.tokens, first, column, tile);
      __syncthreads();
      uint32_t a[kLaneRegisters];
      Fragment::decode_tile(weights, at++, lane, a);
#pragma unroll
      for (int step = 0; step < 4; ++step) {
        const uint32_t(&of_step)[4] = *reinterpret_cast<const uint32_t(*)[4]>(a + 4 * step);
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) {
          const uint16_t* const from = &tile[8 * block + lane / 4][16 * step + lane % 4 * 2];
          mma<typename Fragment::Half>(sums[block], of_step,
                                       *reinterpret_cast<const uint32_t*>(from),
                                       *reinterpret_cast<const uint32_t*>(from + 8));
        }
      }
      column += kTileInputs;
      if (--left == 0 && ++run < p.run_begin[1]) {
        column = p.runs[run].column;
        left = p.runs[run].tiles;
      }
    }
    for (auto& block : sums)
      for (float& sum : block)
        if constexpr (Fragment::kHasSumFactor) sum *= p.sum_factor;
    for (int merge = 0; merge < p.sums[index].merges; ++merge) {
      --height;
      for (int block = 0; block < kBlocks; ++block)
        for (int i = 0; i < 4; ++i) sums[block][i] = stack[height][block][i] + sums[block][i];
    }
    for (int block = 0; block < kBlocks; ++block)
      for (int i = 0; i < 4; ++i) stack[height][block][i] = sums[block][i];
    ++height;
  }
  for (int block = 0; block < kBlocks; ++block) {
    const float(&result)[4] = stack[0][block];
    ManyRowsResult(p).write(row_tile * kTileRows, first + 8 * block, lane,
                            make_float4(result[0], result[1], result[2], result[3]));
  }
}

}  // namespace

template <class Fragment>
void start_mma(const ManyRowsStart& start) {
  const ManyRowsParameters& p = start.parameters;
  if (p.levels >= kDepth) throw Error(ErrorKind::kUnsupported, "a sum tree that is too deep");
  const dim3 grid(static_cast<unsigned>((p.row_tiles + kWarps - 1) / kWarps),
                  static_cast<unsigned>((p.tokens + kTokens - 1) / kTokens));
  launch({"product with many rows", grid, kThreads, 0, start.stream}, mma_kernel<Fragment>, p,
         start.weights, start.plain);
}

template void start_mma<E2M1Fragment>(const ManyRowsStart& start);
template void start_mma<E4M3Fragment>(const ManyRowsStart& start);
template void start_mma<Bf16Dense>(const ManyRowsStart& start);
template void start_mma<F16Dense>(const ManyRowsStart& start);

#define STRAKE_START_AFFINE(code)                                            \
  template void start_mma<NativeFragment<code>>(const ManyRowsStart& start); \
  template void start_mma<FloatFragment<code>>(const ManyRowsStart& start);  \
  template void start_mma<F16Fragment<code>>(const ManyRowsStart& start);
STRAKE_START_AFFINE(Coding::kUInt2)
STRAKE_START_AFFINE(Coding::kUInt3)
STRAKE_START_AFFINE(Coding::kUInt4)
STRAKE_START_AFFINE(Coding::kUInt5)
STRAKE_START_AFFINE(Coding::kUInt6)
STRAKE_START_AFFINE(Coding::kUInt8)
#undef STRAKE_START_AFFINE

}  // namespace strake::cuda
