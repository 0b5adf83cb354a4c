// Causal attention against a float64 softmax.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/tensors.h"
#include "strake/ops/backend.h"
#include "support/bits.h"

namespace strake {
namespace {

constexpr DType kFloating[] = {DType::kF32, DType::kF16, DType::kBF16};

class CausalAttention : public testing::Test {
 protected:
  // What query row m and head h must be, [value width].
  static std::vector<double> expected(const Tensor& q, const Tensor& keys, const Tensor& values,
                                      const AttentionView& view, std::pair<int64_t, int64_t> at) {
    const auto [m, h] = at;
    const int64_t width = q.shape()[2], value_width = values.shape()[2];
    const int64_t capacity = keys.shape()[1], head = view.heads[static_cast<size_t>(h)];
    const auto a = floats(q), k = floats(keys), v = floats(values);
    const auto value = [](const std::vector<float>& from, int64_t i) {
      return double{from[static_cast<size_t>(i)]};
    };
    const int64_t last = view.first_position.first + m;
    const int64_t first = view.window ? std::max<int64_t>(0, last - *view.window + 1) : 0;
    std::vector<double> scores, sum(static_cast<size_t>(value_width), 0);
    for (int64_t p = first; p <= last; ++p) {
      double score = 0;
      for (int64_t i = 0; i < width; ++i)
        score += value(a, (m * q.shape()[1] + h) * width + i) *
                 value(k, (head * capacity + p) * width + i);
      scores.push_back(score * double{view.scale});
    }
    const double largest = *std::max_element(scores.begin(), scores.end());
    double total = 0;
    for (int64_t p = first; p <= last; ++p) {
      const double weight = std::exp(scores[static_cast<size_t>(p - first)] - largest);
      total += weight;
      for (int64_t i = 0; i < value_width; ++i)
        sum[static_cast<size_t>(i)] += weight * value(v, (head * capacity + p) * value_width + i);
    }
    for (double& element : sum) element /= total;
    return sum;
  }

  void expect_attention(const Tensor& q, const Tensor& keys, const Tensor& values,
                        const AttentionView& view) {
    const Tensor y = backend_->attention(q, keys, values, view);
    const int64_t rows = q.shape()[0], heads = q.shape()[1], width = values.shape()[2];
    ASSERT_EQ(y.shape(), (Shape{rows, heads, width}));
    ASSERT_EQ(y.dtype(), q.dtype());
    const auto found = floats(y);
    // Values are below 2: float32 keeps scores of this size, and so the mean, to about 1e-6.
    const double bound = q.dtype() == DType::kF32   ? 2e-6
                         : q.dtype() == DType::kF16 ? 0x1p-10
                                                    : 0x1p-7;
    for (int64_t m = 0; m < rows; ++m)
      for (int64_t h = 0; h < heads; ++h) {
        const auto wanted = expected(q, keys, values, view, {m, h});
        for (int64_t i = 0; i < width; ++i)
          ASSERT_NEAR(found[static_cast<size_t>((m * heads + h) * width + i)],
                      wanted[static_cast<size_t>(i)], bound)
              << "row " << m << ", head " << h;
      }
  }

  std::unique_ptr<Backend> backend_ = make_backend("cpu", {.threads = 2});
};

TEST_F(CausalAttention, IsTheSoftmaxMeanOfValuesUpToTheQuery) {
  const std::vector<int32_t> heads{0, 0, 1, 1};  // grouped: two query heads to a key-value head
  for (const DType dtype : kFloating)
    for (const int64_t rows : {1, 2, 5})
      for (const int64_t first : {0, 1, 14}) {
        SCOPED_TRACE(testing::Message() << rows << " rows from " << first);
        const Tensor q = random_weight(1, {rows, 4, 24}).to(dtype);
        const Tensor keys = random_weight(2, {2, 19, 24}).to(dtype);
        const Tensor values = random_weight(3, {2, 19, 10}).to(dtype);
        ASSERT_NO_FATAL_FAILURE(
            expect_attention(q, keys, values, {heads, first, 0.2f, std::nullopt}));
      }
}

TEST_F(CausalAttention, ReadsTheHeadsThatItIsTold) {
  const Tensor q = random_weight(1, {2, 5, 8});
  const Tensor keys = random_weight(2, {3, 4, 8}), values = random_weight(3, {3, 4, 8});
  const std::vector<int32_t> heads{2, 0, 0, 1, 2};
  expect_attention(q, keys, values, {heads, 2, 0.35f, std::nullopt});
}

TEST_F(CausalAttention, SeesTheLastPositionsOfItsWindow) {
  const Tensor q = random_weight(1, {6, 2, 8});
  const Tensor keys = random_weight(2, {1, 20, 8}), values = random_weight(3, {1, 20, 8});
  const std::vector<int32_t> heads{0, 0};
  for (const int64_t window : {1, 2, 5, 14, 100})
    for (const int64_t first : {0, 3, 14}) {
      SCOPED_TRACE(testing::Message() << "window " << window << " from " << first);
      ASSERT_NO_FATAL_FAILURE(expect_attention(q, keys, values, {heads, first, 0.35f, window}));
    }
  // A query that sees only itself is its own value, exactly.
  const Tensor alone = backend_->attention(q, keys, values, {heads, 14, 0.35f, 1});
  const Tensor own = values.slice(1, 14, 20).reshape({6, 1, 8});
  const Tensor twice[] = {own, own};
  EXPECT_TRUE(same_bits(alone, concatenate(twice, 1)));
}

TEST_F(CausalAttention, NeverReadsPositionsItDoesNotSee) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor q = random_weight(1, {2, 1, 4});
  Tensor keys = random_weight(2, {1, 8, 4}), values = random_weight(3, {1, 8, 4});
  const std::vector<int32_t> heads{0};
  const AttentionView view{heads, 3, 0.5f, 2};
  const Tensor y = backend_->attention(q, keys, values, view);
  for (Tensor* cache : {&keys, &values})
    for (const size_t position : {0, 1, 5, 6, 7})
      for (size_t i = 0; i < 4; ++i) cache->mutable_data<float>()[position * 4 + i] = nan;
  EXPECT_TRUE(same_bits(backend_->attention(q, keys, values, view), y));
}

TEST_F(CausalAttention, SurvivesScoresBeyondTheRangeOfExp) {
  const Tensor q = tensor_of({1000, -1000, 3, 0}, {1, 1, 4});
  const Tensor keys = tensor_of({1000, 0, 0, 0, 0, 1000, 0, 0, 0, 0, 0, 0}, {1, 3, 4});
  const Tensor values = random_weight(3, {1, 3, 4});
  const std::vector<int32_t> heads{0};
  const Tensor y = backend_->attention(q, keys, values, {heads, 2, 1.0f, std::nullopt});
  EXPECT_TRUE(same_bits(y, values.slice(1, 0, 1).reshape({1, 1, 4})));
}

TEST_F(CausalAttention, EachRowIsComputedByItself) {
  const Tensor q = random_weight(1, {5, 4, 24}).to(DType::kBF16);
  const Tensor keys = random_weight(2, {2, 9, 24}).to(DType::kBF16);
  const Tensor values = random_weight(3, {2, 9, 24}).to(DType::kBF16);
  const std::vector<int32_t> heads{0, 0, 1, 1};
  const Tensor y = backend_->attention(q, keys, values, {heads, 3, 0.2f, std::nullopt});
  for (const int threads : {1, 3, 7})
    EXPECT_TRUE(same_bits(make_backend("cpu", {.threads = threads})
                              ->attention(q, keys, values, {heads, 3, 0.2f, std::nullopt}),
                          y));
  for (int64_t m = 0; m < 5; ++m)
    EXPECT_TRUE(same_bits(
        backend_->attention(q.slice(0, m, m + 1), keys, values, {heads, 3 + m, 0.2f, std::nullopt}),
        y.slice(0, m, m + 1)));
}

TEST_F(CausalAttention, CacheStoreWritesRowsAtTheirPositions) {
  for (const DType dtype : kFloating) {
    const Tensor before = random_weight(1, {3, 7, 4}).to(dtype);
    const Tensor parts[] = {before};
    const Tensor cache = concatenate(parts, 0);
    const Tensor x = random_weight(2, {2, 3, 4}).to(dtype);
    CacheRows rows(cache);
    backend_->cache_store(rows, x, 5);
    EXPECT_TRUE(same_bits(cache.slice(1, 0, 5), before.slice(1, 0, 5)));
    for (int64_t row = 0; row < 2; ++row)
      EXPECT_TRUE(same_bits(cache.slice(1, 5 + row, 6 + row).reshape({3, 4}),
                            x.slice(0, row, row + 1).reshape({3, 4})));
  }
}

}  // namespace
}  // namespace strake
