// Many query rows: blocks of 64 or 128 rows of one key-value head go through the positions that
// they see, tile by tile.
#include <algorithm>

#include "ops/cuda/attention_call.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kPad = 8;  // elements: rows begin in different banks

// Each warp has `Fragments` times 16 rows: with two, what it reads of a tile is used twice.
template <class T, int Width, int ValueWidth>
struct Many {
  static constexpr int kFragments = Width <= 128 ? 2 : 1;
  static constexpr int kRows = kWarps * 16 * kFragments;
  static constexpr int kKeys = Width <= 128 ? 64 : 32;  // of a tile
  static constexpr int kKeyRow = Width + kPad;
  static constexpr int kValueRow = ValueWidth + kPad;
  static constexpr int kStage = kKeys * (kKeyRow + kValueRow);
  static constexpr size_t kShared = (kRows * kKeyRow + 2 * kStage) * sizeof(T);
};

// Rows of `Width` elements from global memory; those outside [begin, end) are zero.
template <class T, int Width, int Rows>
__device__ void copy_tile(const T* from, int begin, int end, T* to) {
  constexpr int kUnits = Width / 8;
#pragma unroll
  for (int i = threadIdx.x; i < Rows * kUnits; i += kThreads) {
    const int row = i / kUnits, unit = i % kUnits;
    const bool there = row >= begin && row < end;
    copy_async(to + row * (Width + kPad) + unit * 8, from + (there ? row * Width + unit * 8 : 0),
               there ? 16 : 0);
  }
}

template <class T, int Width, int ValueWidth>
__global__ void __launch_bounds__(kThreads) attend_many_kernel(const AttentionCall call) {
  using Shape = Many<T, Width, ValueWidth>;
  constexpr int kFragments = Shape::kFragments, kKeys = Shape::kKeys;
  constexpr int kDepth = Width / 16, kColumns = ValueWidth / 8, kKeyTiles = kKeys / 8;
  T* const queries = reinterpret_cast<T*>(dynamic_shared());
  T* const stages = queries + Shape::kRows * Shape::kKeyRow;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int sequence = blockIdx.z, cached_head = blockIdx.y;
  const Group group = group_of(call, cached_head);
  // The last rows see most: they start first.
  const int first_row = (gridDim.x - 1 - blockIdx.x) * Shape::kRows;
  const int rows = min(Shape::kRows, call.tokens * group.count - first_row);
  if (rows <= 0) return;
  const auto seen_of_row = [&](int row) {
    return seen_by(call, sequence, query_row(group, first_row + min(row, rows - 1)).token);
  };
  const Seen seen{seen_of_row(0).begin, seen_of_row(rows - 1).end};
  const CachedSequence cache = call.caches[sequence];
  const auto copy = [&](int tile) {
    const int first = tile * kKeys;
    const int64_t slot = cached_head * cache.slots + first % cache.slots;
    T* const to = stages + tile % 2 * Shape::kStage;
    copy_tile<T, Width, kKeys>(static_cast<const T*>(cache.keys.elements) + slot * Width,
                               seen.begin - first, seen.end - first, to);
    copy_tile<T, ValueWidth, kKeys>(
        static_cast<const T*>(cache.values.elements) + slot * ValueWidth, seen.begin - first,
        seen.end - first, to + kKeys * Shape::kKeyRow);
    commit_copies();
  };

  for (int i = threadIdx.x; i < Shape::kRows * Width / 8; i += kThreads) {
    const int row = i / (Width / 8), unit = i % (Width / 8);
    const int64_t from =
        query_index(call, sequence, query_row(group, first_row + min(row, rows - 1)));
    copy_async(queries + row * Shape::kKeyRow + unit * 8,
               static_cast<const T*>(call.q) + from * Width + unit * 8, row < rows ? 16 : 0);
  }
  const int begin_tile = seen.begin / kKeys, end_tile = (seen.end + kKeys - 1) / kKeys;
  copy(begin_tile);

  // The thread's rows of fragment f are 16 f + lane / 4 of the warp's, and 8 after.
  const int warp_row = warp * 16 * kFragments;
  Seen sees[kFragments][2];
  float scale[kFragments][2], largest[kFragments][2], total[kFragments][2] = {};
  float mixed[kFragments][kColumns][4] = {};
#pragma unroll
  for (int f = 0; f < kFragments; ++f)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = warp_row + 16 * f + 8 * half + lane / 4;
      sees[f][half] = seen_of_row(row);
      scale[f][half] =
          score_scale(call, sequence, query_row(group, first_row + min(row, rows - 1)).token);
      largest[f][half] = kLowest;
    }
  // What some of the warp's rows see, and what all do.
  const Seen some{seen_of_row(warp_row).begin, seen_of_row(warp_row + 16 * kFragments - 1).end};
  const Seen common{seen_of_row(warp_row + 16 * kFragments - 1).begin, seen_of_row(warp_row).end};

  for (int tile = begin_tile; tile < end_tile; ++tile) {
    wait_for_copies<0>();
    __syncthreads();
    if (tile + 1 < end_tile) copy(tile + 1);
    const int first = tile * kKeys;
    if (warp_row >= rows || first >= some.end || first + kKeys <= some.begin) continue;
    const T* const keys = stages + tile % 2 * Shape::kStage;
    const T* const key_at = keys + (lane % 8 + lane / 16 * 8) * Shape::kKeyRow + lane / 8 % 2 * 8;
    const T* const query_at = queries + (warp_row + lane % 16) * Shape::kKeyRow + lane / 16 * 8;
    float scores[kFragments][kKeyTiles][4] = {};
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      uint32_t a[kFragments][4];
#pragma unroll
      for (int f = 0; f < kFragments; ++f)
        ldmatrix(a[f], query_at + 16 * f * Shape::kKeyRow + k * 16);
#pragma unroll
      for (int n = 0; n < kKeyTiles; n += 2) {
        uint32_t b[4];
        ldmatrix(b, key_at + n * 8 * Shape::kKeyRow + k * 16);
#pragma unroll
        for (int f = 0; f < kFragments; ++f) {
          mma<T>(scores[f][n], a[f], b[0], b[1]);
          mma<T>(scores[f][n + 1], a[f], b[2], b[3]);
        }
      }
    }
    const bool masks = first < common.begin || first + kKeys > common.end;
#pragma unroll
    for (int f = 0; f < kFragments; ++f)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float most = kLowest;
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            float& score = scores[f][n][2 * half + i];
            score *= scale[f][half];
            if (masks) {
              const int at = first + n * 8 + lane % 4 * 2 + i;
              if (at < sees[f][half].begin || at >= sees[f][half].end) score = -INFINITY;
            }
            most = fmaxf(most, score);
          }
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
        most = fmaxf(most, largest[f][half]);
        const float factor = exp2_fast(largest[f][half] - most);
        largest[f][half] = most;
        float sum = 0;
#pragma unroll
        for (int n = 0; n < kKeyTiles; ++n)
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            float& score = scores[f][n][2 * half + i];
            score = exp2_fast(score - most);
            sum += score;
          }
        total[f][half] = total[f][half] * factor + sum;
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
          mixed[f][c][2 * half] *= factor;
          mixed[f][c][2 * half + 1] *= factor;
        }
      }
    const T* const value_at =
        keys + kKeys * Shape::kKeyRow + lane % 16 * Shape::kValueRow + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < kKeys / 16; ++k) {
      uint32_t a[kFragments][4];
#pragma unroll
      for (int f = 0; f < kFragments; ++f) {
        const float(&low)[4] = scores[f][2 * k];
        const float(&high)[4] = scores[f][2 * k + 1];
        a[f][0] = pack<T>(low[0], low[1]);
        a[f][1] = pack<T>(low[2], low[3]);
        a[f][2] = pack<T>(high[0], high[1]);
        a[f][3] = pack<T>(high[2], high[3]);
      }
#pragma unroll
      for (int c = 0; c < kColumns; c += 2) {
        uint32_t b[4];
        ldmatrix_transposed(b, value_at + k * 16 * Shape::kValueRow + c * 8);
#pragma unroll
        for (int f = 0; f < kFragments; ++f) {
          mma<T>(mixed[f][c], a[f], b[0], b[1]);
          mma<T>(mixed[f][c + 1], a[f], b[2], b[3]);
        }
      }
    }
  }

#pragma unroll
  for (int f = 0; f < kFragments; ++f)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = total[f][half];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      const int row = warp_row + 16 * f + 8 * half + lane / 4;
      if (row >= rows) continue;
      const QueryRow query = query_row(group, first_row + row);
      float factor = 1;
      if (call.sinks != nullptr) {
        const float sink = call.sinks[query.head] * kLog2E;
        const float most = fmaxf(sink, largest[f][half]);
        factor = exp2_fast(largest[f][half] - most);
        sum = sum * factor + exp2_fast(sink - most);
      }
      factor /= sum;
      T* const out = static_cast<T*>(call.out) + query_index(call, sequence, query) * ValueWidth;
#pragma unroll
      for (int c = 0; c < kColumns; ++c)
        *reinterpret_cast<uint32_t*>(out + c * 8 + lane % 4 * 2) =
            pack<T>(mixed[f][c][2 * half] * factor, mixed[f][c][2 * half + 1] * factor);
    }
}

template <class T, int Width, int ValueWidth>
bool start(const AttentionLaunch& at) {
  using Shape = Many<T, Width, ValueWidth>;
  const AttentionCall& call = at.call;
  const int tiles = (call.tokens * call.group + Shape::kRows - 1) / Shape::kRows;
  launch({"attention of many rows",
          {static_cast<unsigned>(tiles), static_cast<unsigned>(call.cached_heads),
           static_cast<unsigned>(at.sequences)},
          kThreads,
          Shape::kShared,
          at.stream},
         attend_many_kernel<T, Width, ValueWidth>, call);
  return true;
}

template <class T>
bool start_of(const AttentionLaunch& at) {
  const AttentionShape& shape = at.shape;
  if (shape.value_stride != shape.value_width) return false;
  const auto is = [&](int width, int value_width) {
    return shape.width == width && shape.value_width == value_width;
  };
  if (is(64, 64)) return start<T, 64, 64>(at);
  if (is(96, 96)) return start<T, 96, 96>(at);
  if (is(128, 128)) return start<T, 128, 128>(at);
  if (is(192, 128)) return start<T, 192, 128>(at);
  if (is(192, 192)) return start<T, 192, 192>(at);
  if (is(256, 256)) return start<T, 256, 256>(at);
  return false;
}

}  // namespace

bool attend_many(const AttentionLaunch& at) {
  if (at.shape.key_format || at.shape.selected > 0) return false;
  if (device_attribute(cudaDevAttrComputeCapabilityMajor) == 9 &&
      attend_many_sm90(at, device_attribute(cudaDevAttrMultiProcessorCount)))
    return true;
  if (at.shape.dtype == DType::kBF16) return start_of<__nv_bfloat16>(at);
  if (at.shape.dtype == DType::kF16) return start_of<__half>(at);
  return false;
}

}  // namespace strake::cuda
