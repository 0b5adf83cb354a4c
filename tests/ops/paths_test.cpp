// Attention, norms and activations on every instruction path, against float64.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "gates.h"
#include "ops/cpu/lane_kernels.h"
#include "quant/tensors.h"
#include "strake/base/half.h"
#include "strake/ops/backend.h"
#include "support/bits.h"

namespace strake {
namespace {

constexpr DType kFloating[] = {DType::kF32, DType::kF16, DType::kBF16};

double rounding(DType dtype) {
  if (dtype == DType::kF32) return 0x1p-24;
  return dtype == DType::kF16 ? 0x1p-11 : 0x1p-8;
}

class EveryPath : public testing::TestWithParam<std::string_view> {
 protected:
  std::unique_ptr<Backend> backend(int threads) const {
    return make_backend("cpu", {.threads = threads, .path = std::string(GetParam())});
  }
  const cpu::LaneKernels& kernels() const { return cpu::lane_kernels(cpu::find_path(GetParam())); }
};

INSTANTIATE_TEST_SUITE_P(Cpu, EveryPath, testing::ValuesIn(backend_paths("cpu")),
                         [](const auto& path) {
                           std::string name(path.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

struct Case {
  int64_t rows, heads, cached_heads, width, value_width, first;
  std::optional<int64_t> window;

  int64_t positions() const { return first + rows; }
};

// With windows at the edges of blocks (64) and chunks (256), and widths that fill no vector.
const Case kCases[] = {
    {1, 8, 2, 64, 64, 0, std::nullopt},    {1, 8, 2, 128, 128, 511, std::nullopt},
    {1, 8, 1, 64, 64, 1300, std::nullopt}, {33, 4, 2, 80, 80, 250, std::nullopt},
    {17, 6, 2, 96, 64, 700, std::nullopt}, {9, 3, 3, 64, 128, 60, std::nullopt},
    {5, 4, 2, 23, 37, 300, std::nullopt},  {33, 4, 1, 64, 64, 240, 64},
    {20, 2, 2, 128, 96, 500, 3},           {16, 8, 2, 64, 80, 1000, 257},
    {3, 70, 1, 16, 16, 255, std::nullopt}, {2, 4, 4, 1, 1, 62, std::nullopt},
};

struct Inputs {
  Tensor q, keys, values;
  std::vector<int32_t> heads;
  AttentionView view;

  Inputs(const Case& c, DType dtype)
      : q(random_weight(1, {c.rows, c.heads, c.width}).to(dtype)),
        keys(random_weight(2, {c.cached_heads, c.positions() + 5, c.width}).to(dtype)),
        values(random_weight(3, {c.cached_heads, c.positions() + 5, c.value_width}).to(dtype)),
        heads(static_cast<size_t>(c.heads)),
        view{heads, c.first, 2.0f / std::sqrt(static_cast<float>(c.width)), c.window} {
    for (size_t h = 0; h < heads.size(); ++h)
      heads[h] = static_cast<int32_t>(static_cast<int64_t>(h) * c.cached_heads / c.heads);
  }
  Inputs(const Inputs&) = delete;
};

// The mean of |values| under a row's softmax bounds its rounding errors.
void expect_softmax_mean(const Tensor& y, const Inputs& in, const Case& c) {
  const auto q = floats(in.q), k = floats(in.keys), v = floats(in.values), out = floats(y);
  const int64_t capacity = in.keys.shape()[1];
  for (int64_t row = 0; row < c.rows * c.heads; ++row) {
    const int64_t head = in.heads[static_cast<size_t>(row % c.heads)];
    const int64_t last = c.first + row / c.heads;
    const int64_t first = c.window ? std::max<int64_t>(0, last - *c.window + 1) : 0;
    std::vector<double> weights, sum(static_cast<size_t>(c.value_width)), size(sum);
    double total = 0, largest = -1e300, score_size = 0;
    for (int64_t p = first; p <= last; ++p) {
      double score = 0, terms = 0;
      for (int64_t i = 0; i < c.width; ++i) {
        const double term = double{q[static_cast<size_t>(row * c.width + i)]} *
                            double{k[static_cast<size_t>((head * capacity + p) * c.width + i)]};
        score += term;
        terms += std::abs(term);
      }
      weights.push_back(score * double{in.view.scale});
      largest = std::max(largest, weights.back());
      score_size = std::max(score_size, terms * double{in.view.scale});
    }
    for (int64_t p = first; p <= last; ++p) {
      const double weight = std::exp(weights[static_cast<size_t>(p - first)] - largest);
      total += weight;
      for (int64_t i = 0; i < c.value_width; ++i) {
        const double value =
            double{v[static_cast<size_t>((head * capacity + p) * c.value_width + i)]};
        sum[static_cast<size_t>(i)] += weight * value;
        size[static_cast<size_t>(i)] += weight * std::abs(value);
      }
    }
    // Errors of scores and of sums in float32 grow with the root of their terms.
    const double relative = (score_size * std::sqrt(static_cast<double>(c.width)) +
                             4 * std::sqrt(static_cast<double>(last - first + 1)) + 8) *
                            0x1p-24;
    for (int64_t i = 0; i < c.value_width; ++i) {
      const double expected = sum[static_cast<size_t>(i)] / total;
      ASSERT_NEAR(out[static_cast<size_t>(row * c.value_width + i)], expected,
                  size[static_cast<size_t>(i)] / total * relative +
                      std::abs(expected) * rounding(y.dtype()) + 0x1p-25)
          << "row " << row / c.heads << ", head " << row % c.heads << ", element " << i;
    }
  }
}

TEST_P(EveryPath, AttentionIsTheSoftmaxMeanOfValues) {
  const auto one = backend(1);
  for (const Case& c : kCases)
    for (const DType dtype : kFloating) {
      SCOPED_TRACE(testing::Message() << c.rows << " rows from " << c.first << ", width " << c.width
                                      << ", " << to_string(dtype));
      const Inputs in(c, dtype);
      ASSERT_NO_FATAL_FAILURE(
          expect_softmax_mean(one->attention(in.q, in.keys, in.values, in.view), in, c));
    }
}

TEST_P(EveryPath, AttentionOfARowIsItsOwn) {
  for (const Case& c : kCases)
    for (const DType dtype : kFloating) {
      SCOPED_TRACE(testing::Message() << c.rows << " rows from " << c.first << ", width " << c.width
                                      << ", " << to_string(dtype));
      const Inputs in(c, dtype);
      const Tensor y = backend(1)->attention(in.q, in.keys, in.values, in.view);
      for (const int threads : {2, 3, 16})
        ASSERT_TRUE(same_bits(backend(threads)->attention(in.q, in.keys, in.values, in.view), y));
      const auto two = backend(2);
      for (const int64_t piece : {1, 3, 8})
        for (int64_t m = 0; m < c.rows; m += piece) {
          AttentionView view = in.view;
          view.first_position = view.first_position.first + m;
          const int64_t end = std::min(c.rows, m + piece);
          ASSERT_TRUE(same_bits(two->attention(in.q.slice(0, m, end), in.keys, in.values, view),
                                y.slice(0, m, end)))
              << "rows " << m << " to " << end;
        }
    }
}

TEST_P(EveryPath, AttentionNeverReadsPositionsItDoesNotSee) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const DType dtype : kFloating) {
    const Case c{6, 4, 2, 24, 20, 310, 65};
    Inputs in(c, dtype);
    const auto one = backend(1);
    const Tensor y = one->attention(in.q, in.keys, in.values, in.view);
    // Row 0 sees 246 .. 310; later rows more. What only they see, or nobody, is not a number.
    for (Tensor* cache : {&in.keys, &in.values}) {
      const auto shape = cache->shape();
      auto elements = floats(*cache);
      for (int64_t i = 0; i < std::ssize(elements); ++i) {
        const int64_t position = i / shape[2] % shape[1];
        if (position < 246 || position > 310) elements[static_cast<size_t>(i)] = nan;
      }
      *cache = tensor_of(elements, shape).to(dtype);
    }
    EXPECT_TRUE(same_bits(one->attention(in.q, in.keys, in.values, in.view).slice(0, 0, 1),
                          y.slice(0, 0, 1)));
    const auto poisoned = floats(one->attention(in.q, in.keys, in.values, in.view).slice(0, 5, 6));
    for (const float element : poisoned) EXPECT_TRUE(std::isnan(element));
  }
}

TEST_P(EveryPath, ExpIsWithinTwoUnits) {
  std::vector<float> x{-0.0f, 0.0f, -1e-30f, -87.3f, -87.33f, -87.34f, -88, -104, -1e30f};
  for (int i = 1; i < 40000; ++i) x.push_back(static_cast<float>(i) * -0.0021839f);
  x.push_back(-std::numeric_limits<float>::infinity());
  x.push_back(std::numeric_limits<float>::quiet_NaN());
  std::vector<float> y(x.size());
  kernels().exp_nonpositive(x.data(), std::ssize(x), y.data());
  EXPECT_EQ(y[0], 1.0f);
  for (size_t i = 0; i + 1 < x.size(); ++i) {
    const double expected = std::exp(double{x[i]});
    if (expected < 0x1p-126) {
      EXPECT_LE(std::abs(double{y[i]} - expected), 0x1p-126) << x[i];
    } else {
      const double unit = std::ldexp(1.0, std::ilogb(expected) - 23);
      EXPECT_LE(std::abs(double{y[i]} - expected), 2 * unit) << x[i];
    }
  }
  EXPECT_EQ(y[y.size() - 2], 0.0f);
  EXPECT_TRUE(std::isnan(y.back()));
}

TEST_P(EveryPath, RoundsAsConversionsDo) {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < 1ull << 32; bits += 65521 * 7)
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  for (const uint32_t low : {0x7fffu, 0x8000u, 0x8001u})
    for (const uint32_t high : {0x3f80u, 0x3f81u, 0x7f7fu, 0xff80u, 0x7f80u, 0x8000u})
      x.push_back(std::bit_cast<float>(high << 16 | low));
  // Sums that know of one position: finish() divides by 1, exactly, and rounds.
  std::vector<float> sums(static_cast<size_t>(cpu::row_sums_size(std::ssize(x))));
  sums[cpu::kTotal] = 1.0f;
  std::copy(x.begin(), x.end(), sums.begin() + cpu::kMixed);
  std::vector<Bf16> wide(x.size());
  std::vector<F16> half(x.size());
  kernels().bf16.finish(sums.data(), std::ssize(x), wide.data());
  kernels().f16.finish(sums.data(), std::ssize(x), half.data());
  std::vector<float> again(x.size());
  kernels().f16.widen(half.data(), std::ssize(x), again.data());
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i])) {
      EXPECT_TRUE(std::isnan(to_float(wide[i])) && std::isnan(again[i]));
      continue;
    }
    ASSERT_EQ(wide[i].bits, to_bf16(x[i]).bits) << x[i];
    ASSERT_EQ(half[i].bits, to_f16(x[i]).bits) << x[i];
    ASSERT_EQ(again[i], to_float(half[i])) << x[i];
  }
}

TEST_P(EveryPath, NormsRotationsAndGatesDoNotDependOnThreads) {
  const auto one = backend(1), many = backend(5);
  for (const DType dtype : kFloating)
    for (const int64_t width : {2, 30, 64, 75, 258}) {
      const Tensor x = random_weight(1, {7, width}), gate = random_weight(2, {7, width}).to(dtype);
      const Tensor w = random_weight(3, {1, width}).reshape({width}).to(DType::kBF16);
      const Tensor y = one->rms_norm(x, w, 1e-5f, dtype);
      EXPECT_TRUE(same_bits(many->rms_norm(x, w, 1e-5f, dtype), y));
      EXPECT_TRUE(same_bits(one->rms_norm(x.slice(0, 3, 4), w, 1e-5f, dtype), y.slice(0, 3, 4)));
      for (const Activation activation : kActivations)
        EXPECT_TRUE(same_bits(many->gated(gate, y, activation), one->gated(gate, y, activation)));
      EXPECT_TRUE(same_bits(many->scale(x, 0.3f), one->scale(x, 0.3f)));
      EXPECT_TRUE(same_bits(many->add(x, x), one->add(x, x)));
    }
}

TEST_P(EveryPath, NormsRotationsAndGatesAreThoseOfFloat64) {
  const auto two = backend(2);
  for (const DType dtype : kFloating)
    for (const int64_t width : {2, 30, 64, 76, 258}) {
      SCOPED_TRACE(testing::Message() << to_string(dtype) << ", width " << width);
      const auto n = static_cast<size_t>(width);
      const Tensor x = random_weight(1, {3, width});
      const Tensor w = random_weight(2, {1, width}).reshape({width});
      const auto in = floats(x), weight = floats(w);
      const auto normed = floats(two->rms_norm(x, w, 1e-5f, dtype));
      for (size_t m = 0; m < 3; ++m) {
        double squares = 0;
        for (size_t i = 0; i < n; ++i) squares += std::pow(double{in[m * n + i]}, 2);
        const double norm = std::sqrt(squares / static_cast<double>(n) + 1e-5);
        for (size_t i = 0; i < n; ++i) {
          const double expected = double{in[m * n + i]} / norm * double{weight[i]};
          ASSERT_NEAR(normed[m * n + i], expected,
                      std::abs(expected) * (10 * 0x1p-24 + rounding(dtype)) + 0x1p-25);
        }
      }
      const Tensor gate = x.to(dtype), up = random_weight(3, {3, width}).to(dtype);
      const auto g = floats(gate), u = floats(up);
      for (const Activation activation : kActivations) {
        const auto found = floats(two->gated(gate, up, activation));
        for (size_t i = 0; i < found.size(); ++i) {
          const double expected = gated(activation, g[i], u[i]);
          ASSERT_NEAR(found[i], expected,
                      std::abs(expected) * (16 * 0x1p-24 + rounding(dtype)) + 0x1p-25);
        }
      }
      for (const auto pairs : {RopeTable::Pairs::kHalves, RopeTable::Pairs::kAdjacent}) {
        std::vector<float> frequencies;
        for (size_t i = 0; i < n / 2; ++i)
          frequencies.push_back(1.0f / static_cast<float>(1 + 3 * i));
        const RopeTable table{pairs, width, tensor_of(frequencies, {width / 2}), 1.0f};
        Tensor turned = tensor_of(g, {3, 1, width}).to(dtype);
        two->rope(turned, table, 77);
        const auto out = floats(turned);
        const bool adjacent = pairs == RopeTable::Pairs::kAdjacent;
        for (size_t m = 0; m < 3; ++m)
          for (size_t i = 0; i < n / 2; ++i) {
            const size_t a = m * n + (adjacent ? 2 * i : i), b = adjacent ? a + 1 : a + n / 2;
            const double angle = static_cast<double>(77 + m) * double{frequencies[i]};
            const double c = std::cos(angle), s = std::sin(angle);
            const double bound = (std::abs(double{g[a]}) + std::abs(double{g[b]})) *
                                     ((angle + 4) * 0x1p-24 + rounding(dtype)) +
                                 0x1p-25;
            ASSERT_NEAR(out[a], double{g[a]} * c - double{g[b]} * s, bound);
            ASSERT_NEAR(out[b], double{g[b]} * c + double{g[a]} * s, bound);
          }
      }
    }
}

}  // namespace
}  // namespace strake
