// Attention, norms and activations, for each instruction path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/cpu/path.h"
#include "strake/ops/activation.h"
#include "strake/tensor/dtype.h"

namespace strake::cpu {

// Softmax sums are float32 over chunks of this many absolute positions and then over chunks, in
// ascending order: a row's result does not depend on the rows or threads beside it.
inline constexpr int64_t kKeyChunk = 256;
inline constexpr int kQueryRows = 64;  // that one call takes, at most

// One key-value head of a cache, from position `first` on.
struct CachedHead {
  const void* keys;    // [positions, width]
  const void* values;  // [positions, value_stride], of which the first value_width count
  int64_t first;
  int64_t width;
  int64_t value_width;
  int64_t value_stride;
};

// One query row [width], the positions [begin, end) that it sees, and the scale of its scores.
struct QueryRow {
  const void* query;
  int64_t begin;
  int64_t end;
  float scale;
};

// What a row's softmax knows of some positions, as floats: the largest score, the sum of
// exp(score - largest), and from kMixed on the sum of exp(score - largest) * values.
inline constexpr int64_t kLargest = 0;
inline constexpr int64_t kTotal = 1;
inline constexpr int64_t kMixed = 16;
constexpr int64_t row_sums_size(int64_t value_width) {
  return kMixed + (value_width + 15) / 16 * 16;
}

// Bytes of 64-byte aligned memory that attend() works in.
size_t attention_scratch(int64_t width);

struct LayerNormRow {
  const float* weight;  // [width]
  const float* bias;    // [width]
  int64_t width;
  float eps;
};

// Queries of an indexer, and the positions [begin, end) of one chunk that they score.
struct IndexBlock {
  const void* queries;   // [tokens, heads, width]
  const float* weights;  // [tokens, heads]
  int64_t tokens;
  int64_t heads;
  int64_t begin;
  int64_t end;
  float* scores;  // [tokens][stride], the first of each at `begin`
  int64_t stride;
};
constexpr int64_t padded_scores(int64_t count) { return (count + 15) / 16 * 16; }

// Bytes of 64-byte aligned memory that index() works in, for so many queries.
size_t index_scratch(int64_t width, int64_t queries);

// Kernels for one type of activations; void pointers are to elements of that type.
struct TypedLaneKernels {
  // sums [rows][row_sums_size] = the sums over the chunk's positions.
  void (*attend)(const CachedHead& head, std::span<const QueryRow> rows, int64_t chunk, float* sums,
                 std::byte* scratch);
  // out [value_width] = mixed / total.
  void (*finish)(const float* sums, int64_t value_width, void* out);
  void (*widen)(const void* from, int64_t count, float* out);
  // out [width] = x / sqrt(mean(x^2) + eps) * weight.
  void (*rms_norm)(const float* x, const float* weight, int64_t width, float eps, void* out);
  // Turns pairs of x [2 * pairs] by angles of these cosines and sines.
  void (*turn_halves)(void* x, int64_t pairs, const float* cosines, const float* sines);
  void (*turn_adjacent)(void* x, int64_t pairs, const float* cosines, const float* sines);
  // out [width] = (x - mean) / sqrt(variance + eps) * weight + bias.
  void (*layer_norm)(const float* x, const LayerNormRow& norm, void* out);
  // Scores of the block's keys.
  void (*index)(const CachedHead& keys, const IndexBlock& block, std::byte* scratch);
  // By Activation.
  void (*gated[3])(const void* gate, const void* up, int64_t count, void* out);
};

struct LaneKernels {
  TypedLaneKernels f32, f16, bf16;
  // sums += part, both of a row; sums that know of no position are 0 but for kLargest, which is
  // the lowest float.
  void (*merge)(const float* part, int64_t value_width, float* sums);
  void (*add)(const float* x, const float* y, int64_t count, float* out);
  void (*scale)(const float* x, float factor, int64_t count, float* out);
  // Positions of the `wanted` largest of `count` scores, of equal ones the first: ascending, then
  // -1 where there are fewer. Scores from there to padded_scores(count) are -infinity, others
  // finite.
  void (*largest)(const float* scores, int64_t count, int64_t wanted, int32_t* positions);
  // exp(x) for x <= 0; 0 below the smallest normal number.
  void (*exp_nonpositive)(const float* x, int64_t count, float* out);

  const TypedLaneKernels& of(DType dtype) const {
    if (dtype == DType::kF16) return f16;
    return dtype == DType::kBF16 ? bf16 : f32;
  }
};

const LaneKernels& lane_kernels(Path path);

// Each path's own.
const LaneKernels& portable_lane_kernels();
const LaneKernels& avx2_lane_kernels();
const LaneKernels& avx512_lane_kernels();

}  // namespace strake::cpu
