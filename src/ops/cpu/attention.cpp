// Causal softmax attention over a cache.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/cpu/cpu_backend.h"
#include "ops/cpu/lanes.h"
#include "ops/cpu/weight_rows.h"

namespace strake::cpu {
namespace {

// Positions [begin, end).
struct Positions {
  int64_t begin;
  int64_t end;
};

// One query against the keys of its head, the positions in range. The buffers keep their memory
// from query to query.
template <class T>
class HeadAttention {
 public:
  HeadAttention(const Tensor& keys, const Tensor& values)
      : keys_(keys.data<T>().data()),
        values_(values.data<T>().data()),
        width_(keys.shape()[2]),
        value_width_(values.shape()[2]),
        query_(static_cast<size_t>(width_)),
        row_(static_cast<size_t>(std::max(width_, value_width_))),
        sum_(static_cast<size_t>(value_width_)) {}

  // `cached` is the head's first row in the caches.
  void run(const T* query, int64_t cached, Positions range, float scale, T* out) {
    widen_row(query, width_, query_.data());
    scores_.resize(static_cast<size_t>(range.end - range.begin));
    float largest = -std::numeric_limits<float>::infinity();
    for (int64_t key = range.begin; key < range.end; ++key) {
      widen_row(keys_ + (cached + key) * width_, width_, row_.data());
      float& score = scores_[static_cast<size_t>(key - range.begin)];
      score = dot(query_.data(), row_.data(), width_) * scale;
      largest = std::max(largest, score);
    }
    float total = 0.0f;
    std::fill(sum_.begin(), sum_.end(), 0.0f);
    for (int64_t key = range.begin; key < range.end; ++key) {
      const float weight = std::exp(scores_[static_cast<size_t>(key - range.begin)] - largest);
      total += weight;
      widen_row(values_ + (cached + key) * value_width_, value_width_, row_.data());
      for (size_t i = 0; i < sum_.size(); ++i) sum_[i] += weight * row_[i];
    }
    for (size_t i = 0; i < sum_.size(); ++i) out[i] = from_float<T>(sum_[i] / total);
  }

 private:
  const T* keys_;
  const T* values_;
  int64_t width_, value_width_;
  std::vector<float> query_, row_, sum_, scores_;
};

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
  const int64_t heads = q.shape()[1];
  const int64_t width = q.shape()[2];
  const int64_t value_width = values.shape()[2];
  Tensor y = Tensor::empty(q.dtype(), {q.shape()[0], heads, value_width});
  visit_floating(q.dtype(), [&]<class T>(T) {
    const T* const queries = q.data<T>().data();
    T* const out = y.mutable_data<T>().data();
    pool_.for_ranges(q.shape()[0] * heads, [&](int64_t begin, int64_t end) {
      HeadAttention<T> attention(keys, values);
      for (int64_t item = begin; item < end; ++item) {
        const int64_t last = view.first_position + item / heads;
        const int64_t first = view.window ? std::max<int64_t>(0, last - *view.window + 1) : 0;
        const int64_t head = view.heads[static_cast<size_t>(item % heads)];
        attention.run(queries + item * width, head * keys.shape()[1], {first, last + 1}, view.scale,
                      out + item * value_width);
      }
    });
  });
  return y;
}

}  // namespace strake::cpu
