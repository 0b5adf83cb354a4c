// Routing and the selection of keys against the same rules in plain C++.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/cuda/device.h"
#include "ops/cuda/routing.h"
#include "ops/cuda/select_keys.h"

namespace strake::cuda {
namespace {

// The `count` largest of the values, of equal ones the first; ascending.
template <class T>
std::vector<int32_t> largest(const std::vector<T>& values, int64_t count) {
  std::vector<int32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int32_t a, int32_t b) {
    return values[static_cast<size_t>(a)] > values[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(count));
  std::ranges::sort(order);
  return order;
}

struct Routed {
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

Routed expected_route(const RouteRule& rule, const std::vector<float>& logits,
                      const std::vector<float>& correction) {
  std::vector<float> scores(logits.size());
  const auto softmax = [&](const std::vector<int32_t>& over) {
    double most = -INFINITY, sum = 0;
    for (const int32_t i : over) most = std::max<double>(most, logits[i]);
    for (const int32_t i : over) sum += std::exp(logits[i] - most);
    for (const int32_t i : over) scores[i] = static_cast<float>(std::exp(logits[i] - most) / sum);
  };
  std::vector<int32_t> all(logits.size());
  std::iota(all.begin(), all.end(), 0);
  std::vector<int32_t> chosen;
  if (rule.scores == RouteRule::Scores::kSoftmaxOfChosen) {
    chosen = largest(logits, rule.chosen);
    softmax(chosen);
  } else {
    if (rule.scores == RouteRule::Scores::kSoftmax)
      softmax(all);
    else
      for (size_t i = 0; i < logits.size(); ++i)
        scores[i] = static_cast<float>(1 / (1 + std::exp(-double{logits[i]})));
    std::vector<float> choice = scores;
    for (size_t i = 0; i < correction.size(); ++i) choice[i] += correction[i];
    if (rule.groups > 1) {
      const size_t size = choice.size() / static_cast<size_t>(rule.groups);
      std::vector<float> quality;
      for (size_t first = 0; first < choice.size(); first += size) {
        std::vector<float> group(choice.begin() + first, choice.begin() + first + size);
        std::ranges::sort(group, std::greater<>());
        quality.push_back(std::accumulate(group.begin(), group.begin() + rule.group_terms, 0.0f));
      }
      const auto best = largest(quality, rule.chosen_groups);
      for (size_t i = 0; i < choice.size(); ++i)
        if (!std::ranges::binary_search(best, static_cast<int32_t>(i / size))) choice[i] = 0;
    }
    chosen = largest(choice, rule.chosen);
  }
  Routed result{chosen, {}};
  float sum = 0;
  for (const int32_t i : chosen) sum += scores[i];
  const float divisor = rule.weights == RouteRule::Weights::kNormalized ? sum + 1e-20f : 1.0f;
  for (const int32_t i : chosen) result.weights.push_back(scores[i] / divisor * rule.scale);
  return result;
}

void expect_routed(const RouteRule& rule, bool corrected, const std::vector<float>& logits) {
  const auto width = static_cast<size_t>(rule.experts);
  const size_t rows = logits.size() / width;
  std::vector<float> correction;
  if (corrected) correction = random_floats(width);
  const DeviceArray<float> device_logits(logits), device_correction(correction);
  const DeviceArray<int32_t> experts(rows * static_cast<size_t>(rule.chosen));
  const DeviceArray<float> weights(experts.size());
  const DeviceArray<int32_t> invalid(std::vector<int32_t>{0});
  route(rule, device_logits.data(), corrected ? device_correction.data() : nullptr,
        static_cast<int64_t>(rows), {experts.data(), weights.data(), invalid.data()}, nullptr);
  const auto found = experts.get();
  const auto found_weights = weights.get();
  EXPECT_EQ(invalid.get()[0], 0);
  EXPECT_TRUE(experts.is_guard_whole() && weights.is_guard_whole());
  for (size_t row = 0; row < rows; ++row) {
    const Routed expected = expected_route(
        rule, {logits.begin() + row * width, logits.begin() + (row + 1) * width}, correction);
    for (size_t i = 0; i < expected.experts.size(); ++i) {
      EXPECT_EQ(found[row * expected.experts.size() + i], expected.experts[i]) << "row " << row;
      EXPECT_NEAR(found_weights[row * expected.experts.size() + i], expected.weights[i],
                  4e-7 * std::abs(expected.weights[i]));
    }
  }
}

TEST(CudaRouting, RulesOfEveryKind) {
  using Scores = RouteRule::Scores;
  using Weights = RouteRule::Weights;
  const RouteRule rules[] = {
      {8, 2, Scores::kSoftmaxOfChosen},
      {128, 8, Scores::kSoftmax, Weights::kNormalized},
      {60, 4, Scores::kSoftmax, Weights::kScores, 2.5f},
      {256, 8, Scores::kSigmoid, Weights::kNormalized, 2.5f, 8, 4, 2},
      {160, 6, Scores::kSoftmax, Weights::kScores, 16.0f, 8, 3, 1},
      {512, 10, Scores::kSigmoid, Weights::kNormalized},
      {3, 3, Scores::kSigmoid},
  };
  for (const RouteRule& rule : rules)
    for (const bool corrected : {false, true})
      expect_routed(rule, corrected && rule.scores != Scores::kSoftmaxOfChosen,
                    random_floats(static_cast<size_t>(rule.experts) * 7, DType::kF32, 3));
}

TEST(CudaRouting, OfEqualsTheFirst) {
  std::vector<float> logits;
  for (const float x : random_floats(64 * 9)) logits.push_back(std::round(x));
  logits[3] = -0.0f;
  expect_routed({64, 6, RouteRule::Scores::kSoftmaxOfChosen}, false, logits);
  expect_routed({64, 6, RouteRule::Scores::kSigmoid, RouteRule::Weights::kScores, 1, 4, 2, 2},
                false, logits);
  expect_routed({64, 6, RouteRule::Scores::kSoftmax}, false, std::vector<float>(64, 1.0f));
}

TEST(CudaRouting, SaysThatALogitIsNotANumber) {
  std::vector<float> logits = random_floats(3 * 16);
  logits[20] = NAN;
  const DeviceArray<float> device_logits(logits), weights(6);
  const DeviceArray<int32_t> experts(6), invalid(std::vector<int32_t>{0});
  route({16, 2, RouteRule::Scores::kSoftmax}, device_logits.data(), nullptr, 3,
        {experts.data(), weights.data(), invalid.data()}, nullptr);
  EXPECT_EQ(invalid.get()[0], 1);
  const auto found = experts.get();
  EXPECT_EQ(std::vector<int32_t>(found.begin() + 2, found.begin() + 4),
            (std::vector<int32_t>{0, 1}));
}

struct IndexCase {
  DType dtype;
  int64_t heads, width, count;
  std::vector<int32_t> first_positions;
  int64_t tokens;
  float least_weight = -2, most_weight = 2;  // of a head
};

// Small whole numbers: every sum is exact, and many are equal.
std::vector<float> whole_numbers(size_t count, float scale) {
  std::vector<float> values = random_floats(count, DType::kF32, scale);
  for (float& value : values) value = std::round(value);
  return values;
}

void expect_selected(const IndexCase& c) {
  const auto sequences = static_cast<int64_t>(c.first_positions.size());
  const int64_t rows = c.tokens * sequences;
  const int64_t slots = *std::ranges::max_element(c.first_positions) + c.tokens + 5;
  const auto q = whole_numbers(static_cast<size_t>(rows * c.heads * c.width), 0.6f);
  auto weights = whole_numbers(static_cast<size_t>(rows * c.heads), 2);
  for (float& weight : weights) weight = std::clamp(weight, c.least_weight, c.most_weight);
  const DeviceFloats device_q(c.dtype, q);
  const DeviceArray<float> device_weights(weights);
  std::vector<std::vector<float>> keys;
  std::vector<DeviceFloats> device_keys;
  std::vector<CachedSequence> caches;
  for (int64_t s = 0; s < sequences; ++s) {
    keys.push_back(whole_numbers(static_cast<size_t>(slots * c.width), 0.6f));
    std::fill(keys.back().begin() + (c.first_positions[s] + c.tokens) * c.width, keys.back().end(),
              NAN);
    device_keys.emplace_back(c.dtype, keys.back());
    caches.push_back({{device_keys.back().data()}, {}, slots});
  }
  const DeviceArray<CachedSequence> device_caches(caches);
  const DeviceArray<int32_t> positions(c.first_positions);
  const DeviceArray<int32_t> selected(static_cast<size_t>(rows * c.count));
  const IndexShape shape{c.dtype, c.heads, c.width, c.count, slots};
  const DeviceBytes workspace(select_keys_workspace(shape, rows));
  select_keys(shape,
              {device_q.data(), device_weights.data(), device_caches.data(), selected.data(),
               workspace.data()},
              {positions.data(), c.tokens, sequences}, nullptr);
  const auto found = selected.get();
  EXPECT_TRUE(selected.is_guard_whole() && workspace.is_guard_whole());
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t s = row / c.tokens;
    std::vector<double> scores;
    for (int64_t p = 0; p <= c.first_positions[s] + row % c.tokens; ++p) {
      double sum = 0;
      for (int64_t h = 0; h < c.heads; ++h) {
        double product = 0;
        for (int64_t i = 0; i < c.width; ++i)
          product += double{q[(row * c.heads + h) * c.width + i]} * keys[s][p * c.width + i];
        sum += std::max(product, 0.0) * weights[row * c.heads + h];
      }
      scores.push_back(sum);
    }
    auto expected = largest(scores, std::min<int64_t>(c.count, std::ssize(scores)));
    expected.resize(static_cast<size_t>(c.count), -1);
    EXPECT_EQ(
        std::vector<int32_t>(found.begin() + row * c.count, found.begin() + (row + 1) * c.count),
        expected)
        << "row " << row;
  }
}

TEST(CudaSelectKeys, LargestOfEveryRow) {
  expect_selected({DType::kBF16, 64, 128, 50, {700, 20, 48}, 1});
  expect_selected({DType::kF16, 20, 64, 33, {250, 0}, 11});
  expect_selected({DType::kF32, 3, 20, 17, {90}, 3});
  expect_selected({DType::kBF16, 5, 40, 300, {290}, 20});
  expect_selected({DType::kBF16, 16, 32, 2048, {9000}, 2});
  expect_selected({DType::kBF16, 32, 128, 2048, {2300}, 1});
  expect_selected({DType::kBF16, 8, 64, 4095, {4095}, 2});
  expect_selected({DType::kBF16, 8, 64, 1, {4097}, 1});
}

// They differ in their last bits alone, or not at all.
TEST(CudaSelectKeys, ScoresThatAreNearEachOther) {
  expect_selected({DType::kBF16, 64, 128, 700, {2000, 699}, 2, 1, 2});
  expect_selected({DType::kBF16, 1, 16, 100, {5000}, 1, 2, 2});
  expect_selected({DType::kF16, 4, 32, 64, {4100}, 1, 0, 0});
}

}  // namespace
}  // namespace strake::cuda
