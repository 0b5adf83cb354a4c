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

void widen_row(const Bf16* from, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = to_float(from[i]);
}

}  // namespace

void CpuBackend::do_cache_store(Tensor& cache, const Tensor& x, int64_t first_position) {
  const int64_t heads = cache.shape()[0];
  const int64_t capacity = cache.shape()[1];
  const int64_t width = cache.shape()[2];
  const Bf16* const from = x.data<Bf16>().data();
  Bf16* const to = cache.mutable_data<Bf16>().data();
  for (int64_t m = 0; m < x.shape()[0]; ++m)
    for (int64_t h = 0; h < heads; ++h)
      std::copy_n(from + (m * heads + h) * width, width,
                  to + (h * capacity + first_position + m) * width);
}

Tensor CpuBackend::do_attention(const Tensor& q, const Tensor& keys, const Tensor& values,
                                const AttentionView& view) {
  const int64_t rows = q.shape()[0];
  const int64_t heads = q.shape()[1];
  const int64_t width = q.shape()[2];
  const int64_t capacity = keys.shape()[1];
  const int64_t value_width = values.shape()[2];
  Tensor y = Tensor::empty(DType::kBF16, {rows, heads, value_width});
  const Bf16* const queries = q.data<Bf16>().data();
  Bf16* const out = y.mutable_data<Bf16>().data();
  pool_.for_ranges(rows * heads, [&](int64_t begin, int64_t end) {
    std::vector<float> query(static_cast<size_t>(width));
    std::vector<float> row(static_cast<size_t>(std::max(width, value_width)));
    std::vector<float> sum(static_cast<size_t>(value_width));
    std::vector<float> scores;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t m = item / heads;
      const int64_t h = item % heads;
      const int64_t cached = view.heads[static_cast<size_t>(h)] * capacity;
      const int64_t last = view.first_position + m;
      const int64_t first = view.window ? std::max<int64_t>(0, last - *view.window + 1) : 0;
      widen_row(queries + item * width, width, query.data());
      scores.resize(static_cast<size_t>(last - first + 1));
      float largest = -std::numeric_limits<float>::infinity();
      for (int64_t key = first; key <= last; ++key) {
        widen_row(keys.data<Bf16>().data() + (cached + key) * width, width, row.data());
        float& score = scores[static_cast<size_t>(key - first)];
        score = dot(query.data(), row.data(), width) * view.scale;
        largest = std::max(largest, score);
      }
      float total = 0.0f;
      std::fill(sum.begin(), sum.end(), 0.0f);
      for (int64_t key = first; key <= last; ++key) {
        const float weight = std::exp(scores[static_cast<size_t>(key - first)] - largest);
        total += weight;
        widen_row(values.data<Bf16>().data() + (cached + key) * value_width, value_width,
                  row.data());
        for (size_t i = 0; i < sum.size(); ++i) sum[i] += weight * row[i];
      }
      for (size_t i = 0; i < sum.size(); ++i)
        out[item * value_width + static_cast<int64_t>(i)] = to_bf16(sum[i] / total);
    }
  });
  return y;
}

}  // namespace strake::cpu
