// Causal softmax attention over a cache.
#include <algorithm>
#include <limits>

#include "ops/cpu/cached_chunks.h"
#include "ops/cpu/cpu_backend.h"
#include "ops/cpu/grouping.h"
#include "ops/cpu/lane_kernels.h"
#include "ops/cpu/now.h"
#include "strake/quant/quantize.h"

namespace strake::cpu {
namespace {

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One call of attention: its work is blocks of up to kQueryRows query rows that share a key-value
// head. Row r of a head stands for its query head r mod group and token r / group; where tokens
// see selected positions, a block's rows are all of one token.
class AttentionCall {
 public:
  AttentionCall(const Tensor& q, const AttentionRows& cached, const AttentionView& view,
                const Grouping& groups)
      : q_(q.bytes().data()),
        chunks_(cached),
        view_(view),
        first_position_(now(view.first_position)),
        groups_(groups),
        element_(size_of(q.dtype())),
        tokens_(q.shape()[0]),
        heads_(q.shape()[1]),
        cached_heads_(cached.keys.shape()[0]),
        width_(q.shape()[2]),
        value_width_(cached.value_width) {
    for (int64_t head = 0; head < cached_heads_; ++head)
      largest_ = std::max(largest_, std::ssize(groups_[head]));
    blocks_ = selects() ? tokens_ * ceil_divide(largest_, kQueryRows)
                        : ceil_divide(tokens_ * largest_, kQueryRows);
  }

  int64_t cached_heads() const { return cached_heads_; }
  int64_t blocks() const { return blocks_; }  // of a key-value head, at most
  int64_t most_rows() const { return std::min<int64_t>(tokens_ * largest_, kQueryRows); }
  // Chunks [first, end) that some token sees.
  int64_t first_chunk() const { return selects() ? 0 : positions(0).begin / kKeyChunk; }
  int64_t end_chunk() const {
    const int64_t last = tokens_ - 1;
    return ceil_divide(selects() ? std::ssize(selected(last)) : positions(last).end, kKeyChunk);
  }
  int64_t row_size() const { return row_sums_size(value_width_); }
  int64_t value_width() const { return value_width_; }
  size_t scratch() const { return attention_scratch(width_) + chunks_.room(); }

  // Rows of a block and where their results go in an array of [tokens][heads].
  struct Rows {
    QueryRow seen[kQueryRows];
    int64_t result[kQueryRows];
    int64_t head[kQueryRows];  // of the queries
    int64_t cached_head;
    std::span<const int32_t> selected;
    size_t count = 0;

    std::span<const QueryRow> span() const { return {seen, count}; }
    // Chunks [first, end) that some row sees. Later rows see later positions.
    int64_t first_chunk() const { return seen[0].begin / kKeyChunk; }
    int64_t end_chunk() const { return ceil_divide(seen[count - 1].end, kKeyChunk); }
    bool sees(size_t row, int64_t chunk) const {
      return seen[row].begin < (chunk + 1) * kKeyChunk && chunk * kKeyChunk < seen[row].end;
    }
  };

  Rows rows(int64_t head, int64_t block) const {
    const auto members = groups_[head];
    const auto group = std::ssize(members);
    Rows rows;
    rows.cached_head = head;
    int64_t first = block * kQueryRows;
    int64_t end = tokens_ * group;
    if (selects()) {
      const int64_t per_token = blocks_ / tokens_;
      const int64_t token = block / per_token;
      first = token * group + block % per_token * kQueryRows;
      end = (token + 1) * group;
      rows.selected = selected(token);
    }
    end = std::min(first + kQueryRows, end);
    for (int64_t r = first; r < end; ++r, ++rows.count) {
      const int64_t token = r / group;
      const int64_t query_head = members[static_cast<size_t>(r % group)];
      const int64_t row = token * heads_ + query_head;
      const Span seen =
          rows.selected.empty() ? positions(token) : Span{0, std::ssize(rows.selected)};
      rows.seen[rows.count] = {q_ + row * width_ * element_, seen.begin, seen.end, scale(token)};
      rows.result[rows.count] = row * value_width_ * element_;
      rows.head[rows.count] = query_head;
    }
    return rows;
  }

  // Sums [rows] over the chunk's positions of those that they see.
  void attend(const TypedLaneKernels& kernels, const Rows& rows, int64_t chunk, float* sums,
              std::byte* scratch) const {
    if (rows.count == 0) return;
    const int64_t begin = std::max(chunk * kKeyChunk, rows.seen[0].begin);
    const int64_t end = std::min((chunk + 1) * kKeyChunk, rows.seen[rows.count - 1].end);
    const auto cached = chunks_.get({rows.cached_head, begin, end, rows.selected},
                                    scratch + attention_scratch(width_));
    kernels.attend(cached, rows.span(), chunk, sums, scratch);
  }

 private:
  struct Span {
    int64_t begin;
    int64_t end;
  };
  bool selects() const { return view_.selected != nullptr; }
  std::span<const int32_t> selected(int64_t token) const {
    const auto count = static_cast<size_t>(view_.selected->shape()[1]);
    const auto all =
        view_.selected->data<int32_t>().subspan(static_cast<size_t>(token) * count, count);
    return all.first(static_cast<size_t>(std::find(all.begin(), all.end(), -1) - all.begin()));
  }
  Span positions(int64_t token) const {
    const int64_t last = first_position_ + token;
    return {view_.window ? std::max<int64_t>(0, last - *view_.window + 1) : 0, last + 1};
  }
  float scale(int64_t token) const {
    return view_.row_scales.empty() ? view_.scale
                                    : view_.scale * view_.row_scales[static_cast<size_t>(token)];
  }

  const std::byte* q_;
  CachedChunks chunks_;
  const AttentionView& view_;
  int64_t first_position_;
  const Grouping& groups_;  // the query heads of each key-value head
  int64_t element_, tokens_, heads_, cached_heads_, width_, value_width_;
  int64_t largest_ = 0;  // query heads of a key-value head
  int64_t blocks_;
};

// Sums of rows that know of no position yet, but of their heads' sinks.
void clear(const AttentionCall::Rows& rows, const AttentionView& view, int64_t row_size,
           float* sums) {
  std::fill_n(sums, std::ssize(rows.span()) * row_size, 0.0f);
  for (size_t r = 0; r < rows.count; ++r, sums += row_size) {
    const bool sinks = !view.sinks.empty();
    sums[kLargest] = sinks ? view.sinks[static_cast<size_t>(rows.head[r])]
                           : std::numeric_limits<float>::lowest();
    if (sinks) sums[kTotal] = 1.0f;
  }
}

// x [M, heads, ...] to the slots of its positions; bytes as they are.
void store_rows(const CacheRows& cache, Tensor to, const Tensor& x, int64_t first_position) {
  const int64_t heads = x.shape()[1];
  const int64_t bytes = x.shape()[2] * size_of(x.dtype());
  const std::byte* const from = x.bytes().data();
  std::byte* const out = to.mutable_bytes().data();
  for (int64_t m = 0; m < x.shape()[0]; ++m)
    for (int64_t h = 0; h < heads; ++h)
      std::copy_n(from + (m * heads + h) * bytes, bytes,
                  out + (h * to.shape()[1] + cache.slot(first_position + m)) * bytes);
}

}  // namespace

void CpuBackend::do_cache_store(CacheRows& cache, const Tensor& x, const Position& position) {
  const int64_t first_position = now(position);
  if (cache.dense() != nullptr) return store_rows(cache, *cache.dense(), x, first_position);
  const QuantizedMatrix& kept = *cache.quantized();
  const QuantizedMatrix rows = quantize(x, kept.format(), Encoder::kMlx);
  store_rows(cache, kept.codes(), rows.codes(), first_position);
  store_rows(cache, kept.scales(), rows.scales(), first_position);
  if (kept.biases()) store_rows(cache, *kept.biases(), *rows.biases(), first_position);
}

Tensor CpuBackend::do_attention(const Tensor& q, const AttentionRows& cached,
                                const AttentionView& view) {
  Tensor y = Tensor::empty(q.dtype(), {q.shape()[0], q.shape()[1], cached.value_width});
  if (y.elements() == 0) return y;
  groups_.assign(view.heads, cached.keys.shape()[0]);
  const AttentionCall call(q, cached, view, groups_);
  const LaneKernels& kernels = lane_kernels(path_);
  const TypedLaneKernels& typed = kernels.of(q.dtype());
  std::byte* const out = y.mutable_bytes().data();
  const int64_t row_size = call.row_size();
  const int64_t block_size = call.most_rows() * row_size;
  const auto merge = [&](const AttentionCall::Rows& rows, int64_t chunk, const float* part,
                         float* sums) {
    for (size_t r = 0; r < rows.count; ++r)
      if (rows.sees(r, chunk)) {
        const int64_t at = static_cast<int64_t>(r) * row_size;
        kernels.merge(part + at, call.value_width(), sums + at);
      }
  };
  const auto finish = [&](const AttentionCall::Rows& rows, const float* sums) {
    for (size_t r = 0; r < rows.count; ++r)
      typed.finish(sums + static_cast<int64_t>(r) * row_size, call.value_width(),
                   out + rows.result[r]);
  };
  const int64_t items = call.cached_heads() * call.blocks();
  const int64_t first = call.first_chunk();
  const int64_t chunks = call.end_chunk() - first;
  const bool few_heads = call.blocks() == 1 && items < 4 * pool_.size();
  if (few_heads) {
    // For all chunks of the cache: a longer context in it allocates nothing.
    const int64_t most = ceil_divide(cached.keys.shape()[1], kKeyChunk) + 1;
    shared_.reserve(static_cast<size_t>((items * most + 1) * block_size));
  }
  if (few_heads && chunks > 1) {
    // Threads divide the chunks, too, and the sums are merged at the end.
    shared_.resize(static_cast<size_t>((items * chunks + 1) * block_size));
    float* const parts = shared_.data();
    float* const sums = parts + items * chunks * block_size;
    scratch_.reserve(call.scratch());
    pool_.for_ranges(items * chunks, [&](int64_t begin, int64_t end, int range) {
      std::byte* const scratch = scratch_[range];
      for (int64_t i = begin; i < end; ++i)
        call.attend(typed, call.rows(i / chunks, 0), first + i % chunks, parts + i * block_size,
                    scratch);
    });
    for (int64_t head = 0; head < items; ++head) {
      const auto rows = call.rows(head, 0);
      clear(rows, view, row_size, sums);
      for (int64_t chunk = 0; chunk < chunks; ++chunk)
        merge(rows, first + chunk, parts + (head * chunks + chunk) * block_size, sums);
      finish(rows, sums);
    }
    return y;
  }
  const size_t sums_bytes = static_cast<size_t>(block_size) * sizeof(float);
  scratch_.reserve(2 * sums_bytes + call.scratch());
  pool_.for_ranges(items, [&](int64_t begin, int64_t end, int range) {
    std::byte* const scratch = scratch_[range];
    auto* const sums = reinterpret_cast<float*>(scratch);
    float* const part = sums + block_size;
    for (int64_t item = begin; item < end; ++item) {
      // Later blocks see more: first and last ones alternate, so that ranges are even.
      const int64_t i = item % call.blocks();
      const int64_t block = i % 2 == 0 ? i / 2 : call.blocks() - 1 - i / 2;
      const auto rows = call.rows(item / call.blocks(), block);
      if (rows.count == 0) continue;
      clear(rows, view, row_size, sums);
      for (int64_t chunk = rows.first_chunk(); chunk < rows.end_chunk(); ++chunk) {
        call.attend(typed, rows, chunk, part, scratch + 2 * sums_bytes);
        merge(rows, chunk, part, sums);
      }
      finish(rows, sums);
    }
  });
  return y;
}

}  // namespace strake::cpu
