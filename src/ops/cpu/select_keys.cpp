// Which keys an indexer selects.
#include <algorithm>
#include <limits>

#include "ops/cpu/cached_chunks.h"
#include "ops/cpu/cpu_backend.h"
#include "ops/cpu/lane_kernels.h"
#include "ops/cpu/now.h"

namespace strake::cpu {
namespace {

constexpr int64_t kIndexRows = 64;  // queries that share the work on a block of keys
constexpr int64_t kScoresAtOnce = 1 << 22;

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

Tensor CpuBackend::do_select_keys(const Tensor& q, const Tensor& weights, const CacheRows& keys,
                                  const IndexView& view) {
  const int64_t tokens = q.shape()[0];
  const int64_t heads = q.shape()[1];
  Tensor selected = Tensor::empty(DType::kI32, {tokens, view.count});
  if (selected.elements() == 0) return selected;
  if (view.rope != nullptr) {
    Tensor turning = q;
    do_rope(turning, *view.rope, view.first_position);
  }
  const CachedChunks cached({keys, keys, keys.shape()[2]});
  const LaneKernels& kernels = lane_kernels(path_);
  const TypedLaneKernels& typed = kernels.of(q.dtype());
  const int64_t first_position = now(view.first_position);
  const int64_t positions = first_position + tokens;
  const int64_t stride = padded_scores(positions);
  const int64_t per_block = std::max<int64_t>(1, kIndexRows / heads);
  const int64_t chunks = ceil_divide(positions, kKeyChunk);
  const int64_t at_once = std::max<int64_t>(1, kScoresAtOnce / stride / per_block) * per_block;
  const int64_t row_bytes = heads * q.shape()[2] * size_of(q.dtype());
  const size_t room = index_scratch(q.shape()[2], per_block * heads);
  // For all positions of the cache: a longer context in it allocates nothing.
  shared_.reserve(
      static_cast<size_t>(std::min(tokens * padded_scores(keys.shape()[1]), kScoresAtOnce)));
  scratch_.reserve(room + cached.room());
  for (int64_t first = 0; first < tokens; first += at_once) {
    const int64_t count = std::min(at_once, tokens - first);
    shared_.resize(static_cast<size_t>(count * stride));
    float* const scores = shared_.data();
    const int64_t blocks = ceil_divide(count, per_block);
    pool_.for_ranges(blocks * chunks, [&](int64_t begin, int64_t end, int range) {
      std::byte* const scratch = scratch_[range];
      for (int64_t i = begin; i < end; ++i) {
        const int64_t token = i / chunks * per_block;
        const int64_t in_block = std::min(per_block, count - token);
        const int64_t from = i % chunks * kKeyChunk;
        // Up to where the last of them stands.
        const int64_t to = std::min(from + kKeyChunk, first_position + first + token + in_block);
        if (from >= to) continue;
        typed.index(cached.get({0, from, to, {}}, scratch + room),
                    {q.bytes().data() + (first + token) * row_bytes,
                     weights.data<float>().data() + (first + token) * heads, in_block, heads, from,
                     to, scores + token * stride + from, stride},
                    scratch);
      }
    });
    pool_.for_ranges(count, [&](int64_t begin, int64_t end) {
      for (int64_t token = begin; token < end; ++token) {
        const int64_t seen = first_position + first + token + 1;
        float* const row = scores + token * stride;
        std::fill(row + seen, row + padded_scores(seen), -std::numeric_limits<float>::infinity());
        kernels.largest(row, seen, view.count,
                        selected.mutable_data<int32_t>().data() + (first + token) * view.count);
      }
    });
  }
  return selected;
}

}  // namespace strake::cpu
