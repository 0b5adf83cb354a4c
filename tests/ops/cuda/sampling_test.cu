// Sampling against the same filters in float64, and random numbers against the library's own.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/random.h"
#include "ops/cuda/device.h"
#include "ops/cuda/sampling.h"

namespace strake::cuda {
namespace {

std::vector<int32_t> run_argmax(const std::vector<float>& logits, int64_t rows) {
  const DeviceArray<float> device(logits);
  const LogitRows all{device.data(), rows, std::ssize(logits) / rows};
  const DeviceBytes workspace(argmax_workspace(all));
  const DeviceArray<int32_t> tokens(static_cast<size_t>(rows));
  argmax(all, workspace.data(), tokens.data(), nullptr);
  EXPECT_TRUE(tokens.is_guard_whole() && workspace.is_guard_whole());
  return tokens.get();
}

TEST(CudaSampling, TheFirstOfTheLargest) {
  for (const size_t vocabulary : {1u, 100u, 32000u, 151937u}) {
    std::vector<float> logits;
    std::vector<int32_t> expected;
    for (int row = 0; row < 3; ++row) {
      auto one = random_floats(vocabulary);
      for (float& x : one) x = std::round(x * 4);
      one[vocabulary / 2] = row == 0 ? -0.0f : one[vocabulary / 2];
      expected.push_back(static_cast<int32_t>(std::ranges::max_element(one) - one.begin()));
      logits.insert(logits.end(), one.begin(), one.end());
    }
    EXPECT_EQ(run_argmax(logits, 3), expected);
  }
}

TEST(CudaSampling, LogitsThatAreNoLogits) {
  const float infinity = INFINITY;
  EXPECT_EQ(run_argmax({1, NAN, 2, 1, 2, infinity, -infinity, -infinity, -infinity, -infinity, -5,
                        -infinity},
                       4),
            (std::vector<int32_t>{-1, -1, -1, 1}));
}

// The tokens that the rule leaves, as token_filters.cpp has them.
std::vector<bool> kept_tokens(const std::vector<float>& logits, const RowRule& rule) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  std::vector<bool> kept(logits.size(), true);
  const double most = logits[order.front()];
  const auto keep = [&](size_t count, bool last) {
    std::vector<size_t> left;
    for (const size_t i : order)
      if (kept[i]) left.push_back(i);
    if (last)
      std::ranges::stable_sort(left, [&](size_t a, size_t b) {
        return logits[a] > logits[b] || (logits[a] == logits[b] && a > b);
      });
    for (size_t i = count; i < left.size(); ++i) kept[left[i]] = false;
  };
  if (0 < rule.top_p && rule.top_p < 1) {
    double total = 0, above = 0;
    for (const float x : logits) total += std::exp(x - most);
    float threshold = logits[order.front()];
    for (const size_t i : order) {
      if (above >= double{rule.top_p} * total) break;
      threshold = logits[i];
      above += std::exp(logits[i] - most);
    }
    for (size_t i = 0; i < logits.size(); ++i) kept[i] = logits[i] >= threshold;
  }
  if (rule.min_p > 0) {
    const float least = static_cast<float>(most) + std::log(rule.min_p);
    int64_t reach = 0;
    for (size_t i = 0; i < logits.size(); ++i) reach += kept[i] && logits[i] >= least;
    if (reach < rule.min_tokens)
      keep(static_cast<size_t>(rule.min_tokens), true);
    else
      for (size_t i = 0; i < logits.size(); ++i) kept[i] = kept[i] && logits[i] >= least;
  }
  if (rule.top_k > 0) keep(static_cast<size_t>(rule.top_k), false);
  return kept;
}

// Whether the token is where the uniform number falls, up to rounding.
bool is_drawn(const std::vector<float>& logits, const RowRule& rule, float uniform, int32_t token) {
  const auto kept = kept_tokens(logits, rule);
  const double most = *std::ranges::max_element(logits);
  double total = 0, below = 0, up_to = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double weight = kept[i] ? std::exp((logits[i] - most) / rule.temperature) : 0;
    if (static_cast<int32_t>(i) == token) below = total;
    total += weight;
    if (static_cast<int32_t>(i) == token) up_to = total;
  }
  const double slack = 1e-6 * total;
  return token >= 0 && kept[static_cast<size_t>(token)] && below <= uniform * total + slack &&
         uniform * total < up_to + slack;
}

TEST(CudaSampling, DrawsFromWhatTheFiltersLeave) {
  const RowRule rules[] = {{1},
                           {0.7f, 0.9f},
                           {1.5f, 1, 0.05f},
                           {1, 1, 0, 1, 40},
                           {0.8f, 0.95f, 0.02f, 1, 20},
                           {1, 1, 0.9f, 30},
                           {1, 0.5f, 0.9f, 5, 3},
                           {1, 1, 0.99f, 13, 9},
                           {0.1f, 0.01f}};
  for (const int64_t vocabulary : {37, 5000, 33001}) {
    std::vector<float> logits, uniforms;
    std::vector<RowRule> all;
    for (const RowRule& rule : rules)
      for (int i = 0; i < 6; ++i) {
        auto one = random_floats(static_cast<size_t>(vocabulary), DType::kF32, 2);
        if (i % 2 == 0)
          for (float& x : one) x = std::round(x * 2) / 2;  // many equals at every edge
        if (i == 3) one[5] = -INFINITY;
        logits.insert(logits.end(), one.begin(), one.end());
        uniforms.push_back(i == 0 ? 0.0f
                                  : std::uniform_real_distribution<float>(0, 1)(generator()));
        all.push_back(rule);
        all.back().top_k = std::min<int32_t>(rule.top_k, static_cast<int32_t>(vocabulary) - 1);
      }
    const DeviceArray<float> device(logits), device_uniforms(uniforms);
    const DeviceArray<RowRule> device_rules(all);
    const DeviceArray<int32_t> tokens(all.size());
    sample({device.data(), std::ssize(all), vocabulary}, device_rules.data(),
           device_uniforms.data(), tokens.data(), nullptr);
    const auto found = tokens.get();
    for (size_t row = 0; row < all.size(); ++row) {
      const std::vector<float> one(logits.begin() + static_cast<int64_t>(row) * vocabulary,
                                   logits.begin() + static_cast<int64_t>(row + 1) * vocabulary);
      EXPECT_TRUE(is_drawn(one, all[row], uniforms[row], found[row]))
          << "row " << row << " of " << vocabulary << ": " << found[row];
    }
    sample({device.data(), std::ssize(all), vocabulary}, device_rules.data(),
           device_uniforms.data(), tokens.data(), nullptr);
    EXPECT_EQ(found, tokens.get());
  }
}

TEST(CudaSampling, TemperatureZeroAndInvalidRows) {
  const std::vector<float> logits{1, 3, 3, NAN, 1, 2};
  const DeviceArray<float> device(logits), uniforms(std::vector<float>{0.9f, 0.9f});
  const DeviceArray<RowRule> rules(std::vector<RowRule>{{0}, {1}});
  const DeviceArray<int32_t> tokens(2);
  sample({device.data(), 2, 3}, rules.data(), uniforms.data(), tokens.data(), nullptr);
  EXPECT_EQ(tokens.get(), (std::vector<int32_t>{1, -1}));
}

TEST(CudaSampling, NumbersAreThoseOfRandom) {
  std::vector<UniformKey> keys;
  std::vector<Random> expected;
  for (const uint64_t seed : {0ull, 1ull, 0x123456789abcdefull, ~0ull}) {
    keys.push_back({{static_cast<uint32_t>(seed >> 32), static_cast<uint32_t>(seed)}});
    expected.emplace_back(seed);
  }
  const DeviceArray<UniformKey> device(keys);
  const DeviceArray<float> uniforms(keys.size());
  for (int i = 0; i < 5; ++i) {
    next_uniforms(device.data(), std::ssize(keys), uniforms.data(), nullptr);
    const auto found = uniforms.get();
    for (size_t row = 0; row < keys.size(); ++row) EXPECT_EQ(found[row], expected[row].uniform());
  }
}

}  // namespace
}  // namespace strake::cuda
