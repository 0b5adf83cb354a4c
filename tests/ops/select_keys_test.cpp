// An indexer's selection against scores in float64, and layer normalization.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "io/expect_error.h"
#include "quant/tensors.h"
#include "strake/ops/backend.h"
#include "support/bits.h"

namespace strake {
namespace {

std::vector<std::unique_ptr<Backend>> all_backends(int threads) {
  std::vector<std::unique_ptr<Backend>> backends;
  for (const std::string_view path : backend_paths("cpu"))
    backends.push_back(make_backend("cpu", {.threads = threads, .path = std::string(path)}));
  return backends;
}

struct Indexer {
  Tensor q;        // [tokens, heads, width]
  Tensor weights;  // [tokens, heads]
  Tensor keys;     // [1, slots, width]

  Indexer(int64_t tokens, int64_t heads, int64_t slots, int64_t width, DType dtype = DType::kF32)
      : q(random_weight(1, {tokens, heads * width}).reshape({tokens, heads, width}).to(dtype)),
        weights(random_weight(2, {tokens, heads})),
        keys(random_weight(3, {slots, width}).reshape({1, slots, width}).to(dtype)) {}

  double score(int64_t token, int64_t key) const {
    const auto queries = floats(q);
    const auto cached = floats(keys);
    const int64_t heads = q.shape()[1], width = q.shape()[2];
    double sum = 0;
    for (int64_t h = 0; h < heads; ++h) {
      double product = 0;
      for (int64_t i = 0; i < width; ++i)
        product += double{queries[static_cast<size_t>((token * heads + h) * width + i)]} *
                   cached[static_cast<size_t>(key * width + i)];
      sum += std::max(product, 0.0) * weights.data<float>()[static_cast<size_t>(token * heads + h)];
    }
    return sum;
  }
};

// The positions of the largest scores, ascending, then -1.
std::vector<int32_t> expected_positions(const std::vector<double>& scores, int64_t count) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  order.resize(std::min(order.size(), static_cast<size_t>(count)));
  std::ranges::sort(order);
  order.resize(static_cast<size_t>(count), -1);
  return order;
}

std::vector<int32_t> row(const Tensor& selected, int64_t token) {
  const auto all = selected.slice(0, token, token + 1);
  const auto data = all.data<int32_t>();
  return {data.begin(), data.end()};
}

// Chunks of 256 positions, blocks of 64 and odd ends; heads that are not a multiple of a tile.
TEST(SelectKeys, FindsTheLargestScoresOnEveryPath) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const Indexer indexer(3, 5, 700, 24, dtype);
    for (const auto& backend : all_backends(2)) {
      SCOPED_TRACE(backend->path());
      for (const int64_t first : {0, 1, 60, 255, 500, 697})
        for (const int64_t count : {1, 16, 100}) {
          const Tensor selected =
              backend->select_keys(indexer.q, indexer.weights, indexer.keys, {first, count});
          for (int64_t token = 0; token < 3; ++token) {
            std::vector<double> scores;
            for (int64_t key = 0; key <= first + token; ++key)
              scores.push_back(indexer.score(token, key));
            EXPECT_EQ(row(selected, token), expected_positions(scores, count))
                << first << " " << count;
          }
        }
    }
  }
}

TEST(SelectKeys, GivesARowTheSameKeysAloneAndWithAnyThreads) {
  const Indexer indexer(70, 3, 900, 16, DType::kBF16);
  for (const auto& one : all_backends(1)) {
    const Tensor expected = one->select_keys(indexer.q, indexer.weights, indexer.keys, {800, 64});
    const auto more = make_backend("cpu", {.threads = 3, .path = std::string(one->path())});
    EXPECT_TRUE(same_bits(more->select_keys(indexer.q, indexer.weights, indexer.keys, {800, 64}),
                          expected));
    for (const int64_t token : {0, 33, 69})
      EXPECT_TRUE(same_bits(more->select_keys(indexer.q.slice(0, token, token + 1),
                                              indexer.weights.slice(0, token, token + 1),
                                              indexer.keys, {800 + token, 64}),
                            expected.slice(0, token, token + 1)));
  }
}

TEST(SelectKeys, TurnsQueriesFirst) {
  const RopeTable rope{RopeTable::Pairs::kAdjacent, 8,
                       Tensor::from<float>(std::vector{1.0f, 0.3f, 0.1f, 0.01f}, {4})};
  for (const auto& backend : all_backends(2)) {
    const Indexer indexer(3, 5, 700, 24, DType::kBF16), other(3, 5, 700, 24, DType::kBF16);
    Tensor turned = other.q;
    backend->rope(turned, rope, 600);
    EXPECT_TRUE(
        same_bits(backend->select_keys(indexer.q, indexer.weights, indexer.keys, {600, 40, &rope}),
                  backend->select_keys(turned, indexer.weights, indexer.keys, {600, 40})));
  }
}

TEST(SelectKeys, TakesTheLowestPositionsOfEqualScores) {
  Indexer indexer(1, 1, 300, 16);
  // Keys are all alike but for every seventh.
  auto keys = indexer.keys.mutable_data<float>();
  std::ranges::fill(keys, 0.0f);
  std::ranges::fill(indexer.q.mutable_data<float>(), 1.0f);
  indexer.weights.mutable_data<float>()[0] = 1.0f;
  std::vector<double> scores(300, 0.0);
  for (size_t key = 0; key < 300; key += 7) {
    keys[key * 16] = 2.0f;
    scores[key] = 2.0;
  }
  for (const auto& backend : all_backends(1))
    for (const int64_t count : {3, 43, 44, 100})
      for (const float weight : {1.0f, -1.0f, 0.0f}) {
        indexer.weights.mutable_data<float>()[0] = weight;
        std::vector<double> weighted;
        for (const double score : scores) weighted.push_back(score * weight);
        EXPECT_EQ(
            row(backend->select_keys(indexer.q, indexer.weights, indexer.keys, {299, count}), 0),
            expected_positions(weighted, count))
            << backend->path() << " " << count << " " << weight;
      }
}

// Whatever the numbers are, positions are ones that exist.
TEST(SelectKeys, StaysWithinTheCacheWithoutNumbers) {
  Indexer indexer(2, 2, 300, 16);
  auto keys = indexer.keys.mutable_data<float>();
  for (size_t i = 0; i < keys.size(); i += 5)
    keys[i] = i % 2 == 0 ? std::numeric_limits<float>::quiet_NaN()
                         : std::numeric_limits<float>::infinity();
  for (const auto& backend : all_backends(1)) {
    const Tensor selected =
        backend->select_keys(indexer.q, indexer.weights, indexer.keys, {298, 40});
    for (int64_t token = 0; token < 2; ++token) {
      const auto found = row(selected, token);
      EXPECT_TRUE(std::ranges::is_sorted(found));
      EXPECT_EQ(std::ranges::adjacent_find(found), found.end());
      EXPECT_GE(found.front(), 0);
      EXPECT_LE(found.back(), 298 + token);
    }
  }
}

TEST(SelectKeys, RefusesWhatDoesNotFit) {
  const Indexer indexer(3, 2, 300, 16);
  const auto backend = make_backend("cpu", {});
  const auto refused = [&](const std::string& part, const Tensor& q, const Tensor& weights,
                           const IndexView& view) {
    expect_error(ErrorKind::kUsage, part,
                 [&] { backend->select_keys(q, weights, indexer.keys, view); });
  };
  refused("select_keys: weights [3, 2] expected, found F32 [3, 1]", indexer.q,
          Tensor::zeros(DType::kF32, {3, 1}), {0, 4});
  refused("select_keys: keys [1, slots, 16] like q, no ring expected", indexer.q.to(DType::kBF16),
          indexer.weights, {0, 4});
  refused("select_keys: positions below 300 expected", indexer.q, indexer.weights, {298, 4});
  refused("select_keys: at least 1 key expected, found 0", indexer.q, indexer.weights, {0, 0});
}

TEST(LayerNorm, IsThatOfFloat64OnEveryPath) {
  for (const int64_t width : {1, 5, 64, 131}) {
    const Tensor x = random_weight(1, {3, width});
    const Tensor weight = random_weight(2, {1, width}).reshape({width}).to(DType::kBF16);
    const Tensor bias = random_weight(3, {1, width}).reshape({width});
    for (const auto& backend : all_backends(1)) {
      const auto found = floats(backend->layer_norm(x, {weight, bias, 1e-6f}, DType::kF32));
      for (int64_t m = 0; m < 3; ++m) {
        const auto in = floats(x.slice(0, m, m + 1));
        double mean = 0, variance = 0;
        for (const float value : in) mean += double{value} / static_cast<double>(width);
        for (const float value : in)
          variance += (value - mean) * (value - mean) / static_cast<double>(width);
        for (int64_t i = 0; i < width; ++i) {
          const auto at = static_cast<size_t>(i);
          const double expected =
              (in[at] - mean) / std::sqrt(variance + 1e-6) * to_float(weight.data<Bf16>()[at]) +
              bias.data<float>()[at];
          EXPECT_NEAR(found[static_cast<size_t>(m * width + i)], expected, 2e-6)
              << backend->path() << " " << width;
        }
      }
    }
  }
}

}  // namespace
}  // namespace strake
