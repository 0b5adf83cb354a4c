// Attention to latent vectors: 576 elements as keys, the first 512 of them as values, one cached
// head that all query heads read (DeepSeek-V2, arXiv:2405.04434).
//
// A block has 64 query heads of one token and goes through positions 64 at a time. Its eight warps
// are two halves of the heads times four quarters: of the positions for the scores, of the values
// for the sums. Weights pass from one to the other through shared memory.
#include "ops/cuda/attention_call.h"
#include "ops/cuda/latent_rows.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kHeads = kLatentHeads;
constexpr int kKeys = 64;  // positions of a tile
constexpr int kWidth = kLatentWidth;
constexpr int kValueWidth = kLatentValues;
constexpr int kUnits = kWidth / 8;  // of 16 bytes
constexpr int kQuarters = 4;
constexpr int kWeightRow = kKeys + 8;  // elements: rows begin in different banks
constexpr int kColumns = kValueWidth / kQuarters / 8;
constexpr size_t kShared = (kHeads * kWidth + 2 * kKeys * kWidth + kHeads * kWeightRow) * 2;

// Where a unit of a row stands, in elements: eight rows of one unit are in different banks.
__host__ __device__ constexpr int unit_at(int row, int unit) {
  return row * kWidth + (unit ^ (row % 8)) * 8;
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1) attend_latent_kernel(const AttentionCall call) {
  __shared__ float rows_of_quarters[kQuarters][kHeads];
  begin_after_all();
  T* const queries = reinterpret_cast<T*>(dynamic_shared());
  T* const tiles = queries + kHeads * kWidth;
  T* const weights = tiles + 2 * kKeys * kWidth;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int warp_row = warp % 2 * 32, quarter = warp / 2;
  const LatentRow token(call, static_cast<int>(blockIdx.x));
  const int begin = token.begin, end = token.end;
  if (begin >= end) return;
  const auto copy = [&](int first) {
    T* const to = tiles + first / kKeys % 2 * kKeys * kWidth;
#pragma unroll 6
    for (int i = threadIdx.x; i < kKeys * kUnits; i += kThreads) {
      const int row = i / kUnits, unit = i % kUnits;
      const int position = token.position_of(first + row);
      copy_async(to + unit_at(row, unit), token.element<T>(position) + unit * 8,
                 position < 0 ? 0 : 16);
    }
    commit_copies();
  };

  for (int i = threadIdx.x; i < kHeads * kUnits; i += kThreads) {
    const int head = i / kUnits, unit = i % kUnits;
    copy_async(queries + unit_at(head, unit), token.query<T>(call, head) + unit * 8,
               token.first_head + head < call.heads ? 16 : 0);
  }
  copy(begin);

  const float scale = score_scale(call, token.sequence, token.token);
  float largest[2][2] = {{kLowest, kLowest}, {kLowest, kLowest}}, total[2][2] = {};
  float mixed[2][kColumns][4] = {};
  for (int first = begin; first < end; first += kKeys) {
    wait_for_copies<0>();
    __syncthreads();
    if (first + kKeys < end) copy(first + kKeys);
    const T* const tile = tiles + first / kKeys % 2 * kKeys * kWidth;

    float scores[2][2][4] = {};
    const int key_row = quarter * 16 + lane % 8 + lane / 16 * 8;
#pragma unroll 4
    for (int k = 0; k < kWidth / 16; ++k) {
      uint32_t a[2][4], b[4];
#pragma unroll
      for (int f = 0; f < 2; ++f)
        ldmatrix(a[f], queries + unit_at(warp_row + 16 * f + lane % 16, 2 * k + lane / 16));
      ldmatrix(b, tile + unit_at(key_row, 2 * k + lane / 8 % 2));
#pragma unroll
      for (int f = 0; f < 2; ++f) {
        mma<T>(scores[f][0], a[f], b[0], b[1]);
        mma<T>(scores[f][1], a[f], b[2], b[3]);
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int place = first + quarter * 16 + i / 2 * 8 + lane % 4 * 2 + i % 2;
      const bool there = token.position_of(place) >= 0;
#pragma unroll
      for (int f = 0; f < 2; ++f)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float& score = scores[f][i / 2][2 * half + i % 2];
          score = there ? score * scale : -INFINITY;
        }
    }
#pragma unroll
    for (int f = 0; f < 2; ++f)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float(&low)[4] = scores[f][0];
        const float(&high)[4] = scores[f][1];
        float most = fmaxf(fmaxf(low[2 * half], low[2 * half + 1]),
                           fmaxf(high[2 * half], high[2 * half + 1]));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
        if (lane % 4 == 0)
          rows_of_quarters[quarter][warp_row + 16 * f + 8 * half + lane / 4] = most;
      }
    __syncthreads();
#pragma unroll
    for (int f = 0; f < 2; ++f)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = warp_row + 16 * f + 8 * half + lane / 4;
        float most = largest[f][half];
#pragma unroll
        for (int q = 0; q < kQuarters; ++q) most = fmaxf(most, rows_of_quarters[q][row]);
        const float factor = exp2_fast(largest[f][half] - most);
        largest[f][half] = most;
        total[f][half] *= factor;
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          const float x = exp2_fast(scores[f][n][2 * half] - most);
          const float y = exp2_fast(scores[f][n][2 * half + 1] - most);
          total[f][half] += x + y;
          *reinterpret_cast<uint32_t*>(weights + row * kWeightRow + quarter * 16 + n * 8 +
                                       lane % 4 * 2) = pack<T>(x, y);
        }
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
          mixed[f][c][2 * half] *= factor;
          mixed[f][c][2 * half + 1] *= factor;
        }
      }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
      uint32_t a[2][4];
#pragma unroll
      for (int f = 0; f < 2; ++f)
        ldmatrix(a[f],
                 weights + (warp_row + 16 * f + lane % 16) * kWeightRow + k * 16 + lane / 16 * 8);
#pragma unroll
      for (int c = 0; c < kColumns; c += 2) {
        uint32_t b[4];
        ldmatrix_transposed(b,
                            tile + unit_at(k * 16 + lane % 16, quarter * kColumns + c + lane / 16));
#pragma unroll
        for (int f = 0; f < 2; ++f) {
          mma<T>(mixed[f][c], a[f], b[0], b[1]);
          mma<T>(mixed[f][c + 1], a[f], b[2], b[3]);
        }
      }
    }
  }

#pragma unroll
  for (int f = 0; f < 2; ++f)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = total[f][half];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      // All have read the largest scores before the last weights were ready.
      if (lane % 4 == 0) rows_of_quarters[quarter][warp_row + 16 * f + 8 * half + lane / 4] = sum;
    }
  __syncthreads();
#pragma unroll
  for (int f = 0; f < 2; ++f)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = warp_row + 16 * f + 8 * half + lane / 4;
      if (token.first_head + row >= call.heads) continue;
      float sum = 0;
#pragma unroll
      for (int q = 0; q < kQuarters; ++q) sum += rows_of_quarters[q][row];
      const LatentResult<T> result(call, token, row, {largest[f][half], sum});
      if (quarter == 0 && lane % 4 == 0) result.put_partial();
#pragma unroll
      for (int c = 0; c < kColumns; ++c)
        result.put(quarter * (kValueWidth / kQuarters) + c * 8 + lane % 4 * 2,
                   mixed[f][c][2 * half], mixed[f][c][2 * half + 1]);
    }
}

template <class T>
void start(const AttentionLaunch& at) {
  const AttentionCall& call = at.call;
  launch(
      {"latent attention", latent_grid(at, 1), kThreads, kShared, at.stream, Order::kOverlapping},
      attend_latent_kernel<T>, call);
}

}  // namespace

bool is_latent(const AttentionShape& shape) {
  if (shape.width != kWidth || shape.value_width != kValueWidth || shape.value_stride != kWidth ||
      shape.cached_heads != 1 || shape.dtype == DType::kF32 || shape.key_format || shape.window > 0)
    return false;
  return device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) >=
         static_cast<int>(kShared + sizeof(float) * kQuarters * kHeads);
}

bool attend_latent(const AttentionLaunch& at) {
  if (!is_latent(at.shape)) return false;
  if (device_attribute(cudaDevAttrComputeCapabilityMajor) == 9)
    attend_latent_sm90(at, device_attribute(cudaDevAttrMultiProcessorCount));
  else if (at.shape.dtype == DType::kBF16)
    start<__nv_bfloat16>(at);
  else
    start<__half>(at);
  return true;
}

}  // namespace strake::cuda
