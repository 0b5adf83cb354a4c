// Causal softmax attention over a cache.
#include <algorithm>
#include <limits>
#include <vector>

#include "ops/cpu/cpu_backend.h"
#include "ops/cpu/lane_kernels.h"
#include "ops/cpu/scratch.h"
#include "ops/cpu/weight_rows.h"

namespace strake::cpu {
namespace {

// The query heads of each key-value head, in order.
class HeadGroups {
 public:
  void assign(std::span<const int32_t> heads, int64_t cached_heads) {
    first_.assign(static_cast<size_t>(cached_heads) + 1, 0);
    for (const int32_t head : heads) ++first_[static_cast<size_t>(head) + 1];
    for (size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
    next_.assign(first_.begin(), first_.end());
    members_.resize(heads.size());
    for (size_t h = 0; h < heads.size(); ++h)
      members_[next_[static_cast<size_t>(heads[h])]++] = static_cast<int64_t>(h);
  }
  std::span<const int64_t> operator[](int64_t head) const {
    const auto i = static_cast<size_t>(head);
    return std::span(members_).subspan(first_[i], first_[i + 1] - first_[i]);
  }

 private:
  std::vector<size_t> first_, next_;
  std::vector<int64_t> members_;
};

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One call of attention: its work is blocks of up to kQueryRows query rows that share a key-value
// head; row r of a head stands for its query head r mod group and token r / group.
class AttentionCall {
 public:
  AttentionCall(const Tensor& q, const Tensor& keys, const Tensor& values,
                const AttentionView& view, const HeadGroups& groups)
      : q_(q.bytes().data()),
        keys_(keys.bytes().data()),
        values_(values.bytes().data()),
        view_(view),
        groups_(groups),
        element_(size_of(q.dtype())),
        tokens_(q.shape()[0]),
        heads_(q.shape()[1]),
        cached_heads_(keys.shape()[0]),
        capacity_(keys.shape()[1]),
        width_(keys.shape()[2]),
        value_width_(values.shape()[2]) {
    size_t largest = 0;
    for (int64_t head = 0; head < cached_heads_; ++head)
      largest = std::max(largest, groups_[head].size());
    blocks_ = ceil_divide(tokens_ * static_cast<int64_t>(largest), kQueryRows);
  }

  int64_t cached_heads() const { return cached_heads_; }
  int64_t blocks() const { return blocks_; }  // of a key-value head, at most
  int64_t chunks() const { return ceil_divide(view_.first_position + tokens_, kKeyChunk); }
  int64_t row_size() const { return row_sums_size(value_width_); }
  int64_t value_width() const { return value_width_; }
  size_t scratch() const { return attention_scratch(width_); }

  CachedHead cached(int64_t head) const {
    return {keys_ + head * capacity_ * width_ * element_,
            values_ + head * capacity_ * value_width_ * element_, width_, value_width_,
            view_.scale};
  }

  // Rows of a block and where their results go in an array of [tokens][heads].
  struct Rows {
    QueryRow seen[kQueryRows];
    int64_t result[kQueryRows];
    size_t count;

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
    const auto group = static_cast<int64_t>(members.size());
    Rows rows;
    rows.count = 0;
    const int64_t end = std::min((block + 1) * kQueryRows, tokens_ * group);
    for (int64_t r = block * kQueryRows; r < end; ++r, ++rows.count) {
      const int64_t last = view_.first_position + r / group;
      const int64_t first = view_.window ? std::max<int64_t>(0, last - *view_.window + 1) : 0;
      const int64_t row = r / group * heads_ + members[static_cast<size_t>(r % group)];
      rows.seen[rows.count] = {q_ + row * width_ * element_, first, last + 1};
      rows.result[rows.count] = row * value_width_ * element_;
    }
    return rows;
  }

 private:
  const std::byte* q_;
  const std::byte* keys_;
  const std::byte* values_;
  const AttentionView& view_;
  const HeadGroups& groups_;
  int64_t element_, tokens_, heads_, cached_heads_, capacity_, width_, value_width_;
  int64_t blocks_;
};

// Sums of rows that know of no position.
void clear(float* sums, size_t rows, int64_t row_size) {
  std::fill_n(sums, static_cast<int64_t>(rows) * row_size, 0.0f);
  for (size_t r = 0; r < rows; ++r)
    sums[static_cast<int64_t>(r) * row_size + kLargest] = std::numeric_limits<float>::lowest();
}

}  // namespace

void CpuBackend::do_cache_store(Tensor& cache, const Tensor& x, int64_t first_position) {
  const int64_t heads = cache.shape()[0];
  const int64_t capacity = cache.shape()[1];
  const int64_t width = cache.shape()[2];
  visit_floating(cache.dtype(), [&]<class T>(T) {
    const T* const from = x.data<T>().data();
    T* const to = cache.mutable_data<T>().data();
    for (int64_t m = 0; m < x.shape()[0]; ++m)
      for (int64_t h = 0; h < heads; ++h)
        std::copy_n(from + (m * heads + h) * width, width,
                    to + (h * capacity + first_position + m) * width);
  });
}

Tensor CpuBackend::do_attention(const Tensor& q, const Tensor& keys, const Tensor& values,
                                const AttentionView& view) {
  Tensor y = Tensor::empty(q.dtype(), {q.shape()[0], q.shape()[1], values.shape()[2]});
  if (y.elements() == 0) return y;
  thread_local HeadGroups groups;
  groups.assign(view.heads, keys.shape()[0]);
  const AttentionCall call(q, keys, values, view, groups);
  const LaneKernels& kernels = lane_kernels(path_);
  const TypedLaneKernels& typed = kernels.of(q.dtype());
  std::byte* const out = y.mutable_bytes().data();
  const int64_t row_size = call.row_size();
  const int64_t block_size = kQueryRows * row_size;
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
  const int64_t chunks = call.chunks();
  if (call.blocks() == 1 && chunks > 1 && items < 4 * pool_.size()) {
    // Few heads: threads divide the chunks, too, and the sums are merged at the end.
    thread_local std::vector<float> memory;
    memory.resize(static_cast<size_t>(items * chunks * block_size + block_size));
    float* const parts = memory.data();
    float* const sums = parts + items * chunks * block_size;
    pool_.for_ranges(items * chunks, [&](int64_t begin, int64_t end) {
      std::byte* const scratch = thread_scratch(call.scratch());
      for (int64_t i = begin; i < end; ++i) {
        const auto rows = call.rows(i / chunks, 0);
        typed.attend(call.cached(i / chunks), rows.span(), i % chunks, parts + i * block_size,
                     scratch);
      }
    });
    for (int64_t head = 0; head < items; ++head) {
      const auto rows = call.rows(head, 0);
      clear(sums, rows.count, row_size);
      for (int64_t chunk = 0; chunk < chunks; ++chunk)
        merge(rows, chunk, parts + (head * chunks + chunk) * block_size, sums);
      finish(rows, sums);
    }
    return y;
  }
  const size_t sums_bytes = static_cast<size_t>(block_size) * sizeof(float);
  pool_.for_ranges(items, [&](int64_t begin, int64_t end) {
    std::byte* const scratch = thread_scratch(2 * sums_bytes + call.scratch());
    auto* const sums = reinterpret_cast<float*>(scratch);
    float* const part = sums + block_size;
    for (int64_t item = begin; item < end; ++item) {
      // Later blocks see more: first and last ones alternate, so that ranges are even.
      const int64_t i = item % call.blocks();
      const int64_t block = i % 2 == 0 ? i / 2 : call.blocks() - 1 - i / 2;
      const int64_t head = item / call.blocks();
      const auto rows = call.rows(head, block);
      if (rows.count == 0) continue;
      clear(sums, rows.count, row_size);
      for (int64_t chunk = rows.first_chunk(); chunk < rows.end_chunk(); ++chunk) {
        typed.attend(call.cached(head), rows.span(), chunk, part, scratch + 2 * sums_bytes);
        merge(rows, chunk, part, sums);
      }
      finish(rows, sums);
    }
  });
  return y;
}

}  // namespace strake::cpu
