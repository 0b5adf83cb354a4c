// What the kernels of latent attention share: a block's token, its positions and its results.
#pragma once

#include "ops/cuda/attention_call.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {

inline constexpr int kLatentWidth = 576;   // of a cached vector
inline constexpr int kLatentValues = 512;  // the first of them

inline constexpr int kLatentHeads = 64;  // of a block

// Blocks [chunks or 1, times `shares` of the values, tiles of heads, tokens].
inline dim3 latent_grid(const AttentionLaunch& at, int shares) {
  const AttentionCall& call = at.call;
  return {static_cast<unsigned>((call.partials != nullptr ? call.chunks : 1) * shares),
          static_cast<unsigned>((call.heads + kLatentHeads - 1) / kLatentHeads),
          static_cast<unsigned>(at.sequences * call.tokens)};
}

// The token of a block of that grid, its first head, and the places
// [begin, end) that the block goes through: positions, or places in the token's list of them.
struct LatentRow {
  int token_row;
  int sequence;
  int token;
  int first_head;
  int chunk;
  int begin;
  int end;
  const int* selected;
  const void* cached;

  __device__ LatentRow(const AttentionCall& call, int chunk)
      : token_row(static_cast<int>(blockIdx.z)),
        sequence(token_row / call.tokens),
        token(token_row % call.tokens),
        first_head(static_cast<int>(blockIdx.y) * kLatentHeads),
        chunk(chunk),
        selected(call.selected_count == 0
                     ? nullptr
                     : call.selected + int64_t{token_row} * call.selected_count),
        cached(call.caches[sequence].keys.elements) {
    const Seen seen = seen_by(call, sequence, token);
    const int length = chunk_length(call.growing_chunks, seen.end);
    begin = call.partials == nullptr ? 0 : chunk * length;
    end = call.partials == nullptr ? seen.end : min(seen.end, begin + length);
  }

  // -1 where there is none.
  __device__ int position_of(int place) const {
    return place >= end ? -1 : selected == nullptr ? place : selected[place];
  }
  template <class T>
  __device__ const T* element(int position) const {
    return static_cast<const T*>(cached) + int64_t{max(position, 0)} * kLatentWidth;
  }
  // Of a head of the tile, the last one's beyond the last.
  template <class T>
  __device__ const T* query(const AttentionCall& call, int head) const {
    return static_cast<const T*>(call.q) +
           (int64_t{token_row} * call.heads + min(first_head + head, call.heads - 1)) *
               kLatentWidth;
  }
};

// Brings what a chunk's first `count` positions are while the kernel before still runs.
template <class T>
__device__ inline void bring_latents(const AttentionCall& call, int chunk, int count) {
  constexpr int kPositions = 32;  // of a thread
  const int place = static_cast<int>(threadIdx.x) * kPositions;
  if (call.partials == nullptr || place >= count) return;
  const int sequence = static_cast<int>(blockIdx.z) / call.tokens;
  const CachedSequence cache = call.caches[sequence];
  const int64_t end = settled_positions(call, sequence, cache);
  const int length = chunk_length(call.growing_chunks, static_cast<int>(end) + 1);
  const int64_t first = int64_t{chunk} * length + place;
  if (place >= length || first >= end) return;
  const int positions = static_cast<int>(min(end - first, int64_t{kPositions}));
  prefetch(static_cast<const T*>(cache.keys.elements) + first * kLatentWidth,
           positions * kLatentWidth * static_cast<int>(sizeof(T)));
}

// Where a head's sums go: to the partial results, or, divided, to the results.
template <class T>
struct LatentResult {
  Partial partial;
  Partial* partial_to;
  float* mixed;
  T* out;
  float factor;

  __device__ LatentResult(const AttentionCall& call, const LatentRow& row, int head, Partial sums)
      : partial(sums), partial_to(nullptr), mixed(nullptr) {
    const int64_t result = int64_t{row.token_row} * call.heads + row.first_head + head;
    out = static_cast<T*>(call.out) + result * kLatentValues;
    if (call.partials != nullptr) {
      const int64_t at = result * call.chunks + row.chunk;
      partial_to = call.partials + at;
      mixed = call.mixed + at * kLatentValues;
      return;
    }
    factor = 1;
    float total = sums.total;
    if (call.sinks != nullptr) {
      const float sink = call.sinks[row.first_head + head] * kLog2E;
      const float most = fmaxf(sink, sums.largest);
      factor = exp2_fast(sums.largest - most);
      total = total * factor + exp2_fast(sink - most);
    }
    factor /= total;
  }

  __device__ void put_partial() const {
    if (partial_to != nullptr) *partial_to = partial;
  }
  // Two columns' sums.
  __device__ void put(int column, float first, float second) const {
    if (mixed != nullptr)
      *reinterpret_cast<float2*>(mixed + column) = float2{first, second};
    else
      *reinterpret_cast<uint32_t*>(out + column) = pack<T>(first * factor, second * factor);
  }
};

}  // namespace strake::cuda
