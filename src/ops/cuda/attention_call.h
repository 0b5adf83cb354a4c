// What attention's kernels share: which rows a block has, what they see, where sums meet.
#pragma once

#include <cfloat>
#include <cstdint>

#include "ops/cuda/attention.h"
#include "ops/cuda/codes.h"

namespace strake::cuda {

inline constexpr int kChunk = 256;  // positions whose softmax is one partial result
inline constexpr int kFewQueries = 16;
// Where there are so few chunks, each is shared by four blocks.
inline constexpr int kShortChunks = 8;
inline constexpr int kChunkQuarters = 4;  // of a chunk
inline constexpr float kLowest = -FLT_MAX;
inline constexpr float kLog2E = 1.4426950408889634f;

// Softmax sums are kept of powers of two: scores times log2(e).
struct Partial {
  float largest;  // score
  float total;    // of 2^(score - largest)
};

// Positions [begin, end), or places in a list of selected ones.
struct Seen {
  int begin;
  int end;
};

// A kernel's parameters.
struct AttentionCall {
  const void* q;
  const CachedSequence* caches;
  const int32_t* first_positions;
  const int32_t* first_query;
  const int32_t* selected;
  const float* sinks;
  const float* row_scales;
  void* out;
  Partial* partials;  // [rows, heads, chunks], or of attend_short [rows, heads, chunks, quarters]
  float* mixed;       // the same, [..., padded value_width]
  CodeFormat key_format;
  CodeFormat value_format;
  float scale;
  int tokens;  // of a sequence
  int heads;
  int cached_heads;
  int group;  // the largest
  int width;
  int value_width;
  int value_stride;
  int window;
  int selected_count;
  int chunks;          // of the partial results
  int growing_chunks;  // whether their length grows with the position: kChunk otherwise
};

__host__ __device__ constexpr int padded_width(int value_width) {
  return (value_width + 3) / 4 * 4;
}

// Chunks of latent vectors have whole tiles of positions, and grow so that there are only so many:
// a partial result is larger than the latents of a tile.
inline constexpr int kLatentTile = 64;
inline constexpr int kMostLatentChunks = 64;

// Positions of a chunk for a row that sees up to `end`.
__host__ __device__ constexpr int chunk_length(int growing, int end) {
  constexpr int kAtOnce = kLatentTile * kMostLatentChunks;
  return growing == 0 ? kChunk : kLatentTile * ((end + kAtOnce - 1) / kAtOnce);
}

__device__ inline Seen seen_by(const AttentionCall& call, int sequence, int token) {
  if (call.selected_count > 0) return {0, call.selected_count};
  const int last = call.first_positions[sequence] + token;
  return {call.window > 0 && last >= call.window ? last - call.window + 1 : 0, last + 1};
}

// The first chunk of which a sequence's partial results are kept.
__device__ inline int first_chunk(const AttentionCall& call, int sequence, int length) {
  return seen_by(call, sequence, 0).begin / length;
}

// How many positions of a sequence may be brought before the kernel before this one has ended. The
// rows before a call's first token are older than those that its own tokens got, and what stores
// a few rows, and attention itself, start nothing before all that came before them has ended. So
// older rows are there when a kernel of attention begins; where they end may not be known yet.
// Fewer do no harm; whoever waited for the kernel before checks with are_settled().
__device__ inline int settled_positions(const AttentionCall& call, int sequence,
                                        const CachedSequence& cache) {
  if (call.window > 0 || call.selected_count > 0) return 0;
  const int64_t positions = max(__ldcg(call.first_positions + sequence), 0);
  return static_cast<int>(positions < cache.slots ? positions : cache.slots);
}
__device__ inline bool are_settled(const AttentionCall& call, int sequence, int positions) {
  return positions <= call.first_positions[sequence];
}

// Query heads [first, first + count) read the cached head.
struct Group {
  int first;
  int count;
};
__device__ inline Group group_of(const AttentionCall& call, int cached_head) {
  if (call.first_query == nullptr) return {cached_head * call.group, call.group};
  const int first = call.first_query[cached_head];
  return {first, call.first_query[cached_head + 1] - first};
}

// Row r of a cached head's queries stands for token r / group and the group's head r mod group.
struct QueryRow {
  int token;
  int head;
};
__device__ inline QueryRow query_row(const Group& group, int row) {
  return {row / group.count, group.first + row % group.count};
}

// Index of a token's query head in [rows, heads].
__device__ inline int64_t query_index(const AttentionCall& call, int sequence,
                                      const QueryRow& row) {
  return (int64_t{sequence} * call.tokens + row.token) * call.heads + row.head;
}

// The factor on a token's scores, times log2(e).
__device__ inline float score_scale(const AttentionCall& call, int sequence, int token) {
  const float scale = call.scale * kLog2E;
  return call.row_scales == nullptr ? scale
                                    : scale * call.row_scales[sequence * call.tokens + token];
}

// The kernels' hosts. A form that takes no such shape returns false.
struct AttentionLaunch {
  const AttentionShape& shape;
  AttentionCall call;
  int sequences;
  cudaStream_t stream;
};
// Of few rows to few positions; results are complete.
bool attend_short(const AttentionLaunch& launch);
bool attend_few(const AttentionLaunch& launch);
bool attend_many(const AttentionLaunch& launch);
// Some of what attend_many() takes, on GPUs of compute capability 9.0.
bool attend_many_sm90(const AttentionLaunch& launch, int multiprocessors);
bool attend_latent(const AttentionLaunch& launch);
// On GPUs of compute capability 9.0.
void attend_latent_sm90(const AttentionLaunch& launch, int multiprocessors);
void attend_any(const AttentionLaunch& launch);
// Whether attend_latent() takes it.
bool is_latent(const AttentionShape& shape);

}  // namespace strake::cuda
