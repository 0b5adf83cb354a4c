// What attention reads besides a dense cache of all positions: rings, codes, keys as values,
// selected positions; and sinks. Each against the dense cache that it stands for.
#include "strake/ops/cache_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "io/expect_error.h"
#include "quant/tensors.h"
#include "strake/ops/backend.h"
#include "support/bits.h"

namespace strake {
namespace {

const std::vector<int32_t> kHeads{0, 0, 1, 1, 1};
constexpr int64_t kCachedHeads = 2;

class Caches : public testing::Test {
 protected:
  // [M, heads, width] of their own.
  static Tensor rows(uint64_t seed, int64_t count, int64_t heads, int64_t width) {
    return random_weight(seed, {count, heads, width}).to(DType::kBF16);
  }
  static CacheRows cache(const CacheStorage& storage, int64_t capacity, int64_t width,
                         std::optional<int64_t> window = std::nullopt) {
    return CacheRows::make(storage, {kCachedHeads, capacity, width}, window, Device::cpu());
  }

  std::unique_ptr<Backend> backend_ = make_backend("cpu", {.threads = 3});
};

TEST_F(Caches, ARingHoldsItsWindowAndOneUnitMore) {
  EXPECT_EQ(cache(DType::kF32, 5000, 8, 1).shape(), (Shape{2, 512, 8}));
  EXPECT_EQ(cache(DType::kF32, 5000, 8, 256).shape(), (Shape{2, 512, 8}));
  EXPECT_EQ(cache(DType::kF32, 5000, 8, 257).shape(), (Shape{2, 768, 8}));
  // Where it would not be shorter, there is none.
  EXPECT_FALSE(cache(DType::kF32, 512, 8, 256).is_ring());
  EXPECT_EQ(cache(DType::kF32, 100, 8, 256).shape(), (Shape{2, 100, 8}));
  EXPECT_EQ(cache(DType::kBF16, 5000, 8, 1).nbytes(), 2 * 512 * 8 * 2);
}

TEST_F(Caches, ARingHasTheBitsOfAllPositions) {
  constexpr int64_t kPositions = 1500, kWidth = 24;
  const Tensor k = rows(1, kPositions, kCachedHeads, kWidth), v = rows(2, kPositions, 2, kWidth);
  const Tensor q = rows(3, kPositions, std::ssize(kHeads), kWidth);
  for (const int64_t window : {1, 100, 256, 300})
    for (const int64_t piece : {256, 7}) {
      SCOPED_TRACE(testing::Message() << "window " << window << ", pieces of " << piece);
      CacheRows keys = cache(DType::kBF16, kPositions, kWidth), values = keys;
      values = cache(DType::kBF16, kPositions, kWidth);
      CacheRows ring_keys = cache(DType::kBF16, kPositions, kWidth, window);
      CacheRows ring_values = cache(DType::kBF16, kPositions, kWidth, window);
      for (int64_t first = 0; first < kPositions; first += piece) {
        const int64_t end = std::min(first + piece, kPositions);
        for (CacheRows* each : {&keys, &ring_keys})
          backend_->cache_store(*each, k.slice(0, first, end), first);
        for (CacheRows* each : {&values, &ring_values})
          backend_->cache_store(*each, v.slice(0, first, end), first);
        if (piece == 7 && first % 91 != 0) continue;  // a few of the many
        const AttentionView view{kHeads, first, 0.2f, window};
        const Tensor some = q.slice(0, first, end);
        ASSERT_TRUE(same_bits(backend_->attention(some, ring_keys, ring_values, view),
                              backend_->attention(some, keys, values, view)))
            << "from " << first;
      }
    }
}

TEST_F(Caches, ARingKnowsHowFarItReachesBack) {
  const CacheRows ring = cache(DType::kF32, 5000, 8, 100);  // 512 slots
  EXPECT_TRUE(ring.holds(512, 512));
  EXPECT_TRUE(ring.holds(1, 512));
  EXPECT_FALSE(ring.holds(99, 513));  // 0 is seen from 99, and its slot has 512
  EXPECT_TRUE(ring.holds(100, 513));
  EXPECT_TRUE(ring.holds(1000, 1413));
  EXPECT_FALSE(ring.holds(1000, 1414));
  EXPECT_TRUE(cache(DType::kF32, 5000, 8).holds(0, 5000));
}

TEST_F(Caches, CodesAreReadAsWhatTheyStandFor) {
  constexpr int64_t kPositions = 300, kWidth = 128;
  const Tensor k = rows(1, kPositions, kCachedHeads, kWidth), v = rows(2, kPositions, 2, kWidth);
  const Tensor q = rows(3, kPositions, std::ssize(kHeads), kWidth);
  for (const Format format : Format::all()) {
    if (format.bits() != 8) continue;
    for (const DType dtype : {DType::kBF16, DType::kF32}) {
      SCOPED_TRACE(format.to_string());
      const auto stored = [&](const CacheStorage& storage, const Tensor& x) {
        CacheRows kept = cache(storage, kPositions, kWidth);
        backend_->cache_store(kept, x.slice(0, 0, 200).to(dtype), 0);
        backend_->cache_store(kept, x.slice(0, 200, kPositions).to(dtype), 200);
        return kept;
      };
      const auto rounded = [&](const Tensor& x) {
        return dequantize(quantize(x.to(dtype), format, Encoder::kMlx), dtype);
      };
      const CacheStorage storage(dtype, format);
      EXPECT_LT(stored(storage, k).nbytes(), kCachedHeads * kPositions * kWidth * 3 / 2);
      for (const int64_t first : {0, 299}) {
        const Tensor some = q.slice(0, first, kPositions).to(dtype);
        const AttentionView view{kHeads, first, 0.1f};
        EXPECT_TRUE(same_bits(
            backend_->attention(some, stored(storage, k), stored(storage, v), view),
            backend_->attention(some, stored(dtype, rounded(k)), stored(dtype, rounded(v)), view)));
      }
    }
  }
  expect_error(ErrorKind::kUsage, "a cache in mxfp8 (8 bits, groups of 32): rows of 24 elements",
               [&] {
                 cache({DType::kBF16, Format::parse("mxfp8")}, 4, 24);
               });
}

TEST_F(Caches, ARingMayHoldCodes) {
  const CacheStorage storage(DType::kBF16, Format::parse("mxfp8"));
  CacheRows ring = cache(storage, 5000, 32, 100), whole = cache(storage, 1000, 32);
  const Tensor k = rows(1, 1000, kCachedHeads, 32), q = rows(3, 1, std::ssize(kHeads), 32);
  for (int64_t first = 0; first < 1000; first += 125)
    for (CacheRows* each : {&ring, &whole})
      backend_->cache_store(*each, k.slice(0, first, first + 125), first);
  const AttentionView view{kHeads, 999, 0.2f, 100};
  EXPECT_TRUE(same_bits(backend_->attention(q, ring, ring, view),
                        backend_->attention(q, whole, whole, view)));
}

TEST_F(Caches, ValuesMayBeTheFirstElementsOfTheKeys) {
  const Tensor keys = random_weight(1, {kCachedHeads, 600, 36}).to(DType::kBF16);
  for (const int64_t width : {36, 20, 16})
    for (const int64_t count : {1, 40}) {
      const Tensor q = rows(3, count, std::ssize(kHeads), 36);
      const AttentionView view{kHeads, 600 - count, 0.2f};
      EXPECT_TRUE(same_bits(backend_->attention(q, keys, width, view),
                            backend_->attention(q, keys, keys.slice(2, 0, width), view)));
    }
}

// Positions 0, step, 2 step .. up to each row's own, filled up with -1.
std::vector<int32_t> every(int64_t step, int64_t first, int64_t count) {
  const int64_t most = (first + count - 1) / step + 1;
  std::vector<int32_t> selected;
  for (int64_t row = 0; row < count; ++row)
    for (int64_t i = 0; i < most; ++i)
      selected.push_back(i * step <= first + row ? static_cast<int32_t>(i * step) : -1);
  return selected;
}

TEST_F(Caches, SelectedPositionsAreAsIfTheyWereAll) {
  constexpr int64_t kPositions = 900, kWidth = 24;
  const Tensor keys = random_weight(1, {kCachedHeads, kPositions, kWidth}).to(DType::kBF16);
  const Tensor values = random_weight(2, {kCachedHeads, kPositions, 10}).to(DType::kBF16);
  const std::vector<int32_t> heads(70, 1);  // more than a block of rows
  for (const int64_t step : {1, 3})
    for (const int64_t count : {1, 5}) {
      const int64_t first = kPositions - count;
      const Tensor q = rows(3, count, 70, kWidth);
      const auto positions = every(step, first, count);
      const Tensor selected =
          Tensor::from<int32_t>(positions, {count, std::ssize(positions) / count});
      const Tensor y = backend_->attention(
          q, keys, values,
          {.heads = heads, .first_position = first, .scale = 0.2f, .selected = &selected});
      for (int64_t row = 0; row < count; ++row) {
        const int64_t seen = (first + row) / step + 1;
        std::vector<Tensor> key_rows, value_rows;
        for (int64_t i = 0; i < seen; ++i) {
          key_rows.push_back(keys.slice(1, i * step, i * step + 1));
          value_rows.push_back(values.slice(1, i * step, i * step + 1));
        }
        EXPECT_TRUE(
            same_bits(y.slice(0, row, row + 1),
                      backend_->attention(q.slice(0, row, row + 1), concatenate(key_rows, 1),
                                          concatenate(value_rows, 1), {heads, seen - 1, 0.2f})));
      }
    }
}

TEST_F(Caches, SinksTakeTheirShare) {
  const Tensor keys = random_weight(1, {kCachedHeads, 700, 16});
  const Tensor ones = tensor_of(std::vector<float>(kCachedHeads * 700 * 4, 1.0f), {2, 700, 4});
  const float none = std::numeric_limits<float>::lowest();
  for (const int64_t count : {1, 60})
    for (const std::optional<int64_t> window :
         {std::optional<int64_t>(), std::optional<int64_t>(9)}) {
      const int64_t first = 700 - count;
      const Tensor q = random_weight(3, {count, 5, 16});
      AttentionView view{kHeads, first, 0.3f, window};
      const Tensor without = backend_->attention(q, keys, keys, view);
      const std::vector<float> silent(5, none), sinks{0.5f, -3.0f, 9.0f, 0.0f, 2.0f};
      view.sinks = silent;
      EXPECT_TRUE(same_bits(backend_->attention(q, keys, keys, view), without));
      // The mean of ones is what the sink leaves: 1 - exp(sink) / (exp(sink) + sum of exp(scores)).
      view.sinks = sinks;
      const auto left = floats(backend_->attention(q, keys, ones, view));
      const auto a = floats(q), k = floats(keys);
      for (int64_t m = 0; m < count; ++m)
        for (size_t h = 0; h < 5; ++h) {
          double total = 0;
          const int64_t last = first + m;
          for (int64_t p = window ? last - *window + 1 : 0; p <= last; ++p) {
            double score = 0;
            for (int64_t i = 0; i < 16; ++i)
              score += double{a[static_cast<size_t>((m * 5 + static_cast<int64_t>(h)) * 16 + i)]} *
                       double{k[static_cast<size_t>((kHeads[h] * 700 + p) * 16 + i)]};
            total += std::exp(score * double{0.3f});
          }
          const double expected = total / (total + std::exp(double{sinks[h]}));
          ASSERT_NEAR(left[(static_cast<size_t>(m) * 5 + h) * 4], expected, 4e-6) << m << " " << h;
        }
    }
}

TEST_F(Caches, RowsMayHaveScalesOfTheirOwn) {
  const Tensor keys = random_weight(1, {kCachedHeads, 80, 16});
  const Tensor q = random_weight(3, {3, 5, 16});
  const std::vector<float> scales{1.0f, 2.5f, 0.125f};
  const Tensor y = backend_->attention(
      q, keys, keys, {.heads = kHeads, .first_position = 70, .scale = 0.3f, .row_scales = scales});
  for (int64_t m = 0; m < 3; ++m)
    EXPECT_TRUE(
        same_bits(y.slice(0, m, m + 1),
                  backend_->attention(q.slice(0, m, m + 1), keys, keys,
                                      {kHeads, 70 + m, 0.3f * scales[static_cast<size_t>(m)]})));
}

TEST_F(Caches, RefuseWhatTheyCannotSee) {
  const Tensor keys = random_weight(1, {kCachedHeads, 80, 16});
  const Tensor q = random_weight(3, {1, 5, 16});
  const auto refused = [&](const std::string& part, const CacheRows& cached,
                           const AttentionView& view) {
    expect_error(ErrorKind::kUsage, "attention: " + part,
                 [&] { backend_->attention(q, cached, cached, view); });
  };
  const std::vector<float> two{1, 2};
  AttentionView view{kHeads, 10, 1.0f};
  view.sinks = two;
  refused("5 sinks expected, found 2", keys, view);
  view = {kHeads, 10, 1.0f};
  view.row_scales = two;
  refused("1 scales of rows expected, found 2", keys, view);
  for (const std::vector<int32_t>& positions :
       std::vector<std::vector<int32_t>>{{-1}, {3, 3}, {4, 3}, {11}, {2, -1, 3}, {-2}, {-1, 4}}) {
    view = {kHeads, 10, 1.0f};
    const Tensor selected = Tensor::from<int32_t>(positions, {1, std::ssize(positions)});
    view.selected = &selected;
    refused("selected positions that ascend up to the row's own, then -1 expected", keys, view);
  }
  view = {kHeads, 10, 1.0f, 3};
  const Tensor one = Tensor::zeros(DType::kI32, {1, 1});
  view.selected = &one;
  refused("selected positions [1, k], and no window expected", keys, view);
  const CacheRows ring = CacheRows::make(DType::kF32, {2, 5000, 16}, 300, Device::cpu());
  refused("a window and rows that fit a ring of 768 expected", ring, {kHeads, 10, 1.0f});
  refused("a window and rows that fit a ring of 768 expected", ring, {kHeads, 10, 1.0f, 769});
  CacheRows stored = CacheRows::make(DType::kF32, {2, 5000, 16}, 300, Device::cpu());
  expect_error(ErrorKind::kUsage, "cache_store: up to 256 rows expected, found 257 rows from 0 on",
               [&] {
                 backend_->cache_store(stored, random_weight(1, {257, 2, 16}), 0);
               });
}

}  // namespace
}  // namespace strake
