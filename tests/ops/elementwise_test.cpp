// Norms, rotary positions, activations and sums, against float64.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gates.h"
#include "quant/tensors.h"
#include "strake/ops/backend.h"
#include "support/bits.h"

namespace strake {
namespace {

constexpr DType kFloating[] = {DType::kF32, DType::kF16, DType::kBF16};

// Half a unit in the last place, relative.
double rounding(DType dtype) {
  if (dtype == DType::kF32) return 0x1p-24;
  return dtype == DType::kF16 ? 0x1p-11 : 0x1p-8;
}

class Elementwise : public testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend("cpu", {.threads = 2});
};

TEST_F(Elementwise, RmsNormDividesByTheRootOfTheMeanSquare) {
  for (const int64_t width : {1, 7, 32, 100, 257})
    for (const DType dtype : kFloating)
      for (const float eps : {0.0f, 1e-5f, 0.5f}) {
        const Tensor x = random_weight(static_cast<uint64_t>(width), {3, width});
        const Tensor w = random_weight(99, {1, width}).reshape({width}).to(kFloating[width % 3]);
        const Tensor y = backend_->rms_norm(x, w, eps, dtype);
        ASSERT_EQ(y.dtype(), dtype);
        const auto in = floats(x), weight = floats(w), out = floats(y);
        for (size_t m = 0; m < 3; ++m) {
          double squares = 0;
          const auto n = static_cast<size_t>(width);
          for (size_t i = 0; i < n; ++i) squares += std::pow(double{in[m * n + i]}, 2);
          const double norm = std::sqrt(squares / static_cast<double>(n) + double{eps});
          for (size_t i = 0; i < n; ++i) {
            const double expected = double{in[m * n + i]} / norm * double{weight[i]};
            // The float32 computation has about ten roundings; the result one.
            const double bound = std::abs(expected) * (10 * 0x1p-24 + rounding(dtype));
            // Below 2^-14 float16 is subnormal.
            ASSERT_NEAR(out[m * n + i], expected, bound + (dtype == DType::kF16 ? 0x1p-25 : 0));
          }
        }
      }
}

TEST_F(Elementwise, RmsNormOfZerosIsZero) {
  const Tensor ones = tensor_of({1, 1, 1, 1}, {4});
  const Tensor y = backend_->rms_norm(Tensor::zeros(DType::kF32, {2, 4}), ones, 1e-5f, DType::kF32);
  EXPECT_TRUE(same_bits(y, Tensor::zeros(DType::kF32, {2, 4})));
}

// Leaves what is no number in memory that a result of this size may take.
void leave_nans(int64_t elements) {
  std::vector<Tensor> tensors(16, Tensor::empty(DType::kF32, {elements}));
  for (Tensor& tensor : tensors) {
    tensor = Tensor::empty(DType::kF32, {elements});
    std::ranges::fill(tensor.mutable_data<float>(), std::numeric_limits<float>::quiet_NaN());
  }
}

// x with another row before and after each of its own, of what is no number.
Tensor among_nans(const Tensor& x) {
  Tensor nans = Tensor::empty(DType::kF32, {1, x.shape()[1]});
  std::ranges::fill(nans.mutable_data<float>(), std::numeric_limits<float>::quiet_NaN());
  std::vector<Tensor> rows{nans};
  for (int64_t m = 0; m < x.shape()[0]; ++m) {
    rows.push_back(x.slice(0, m, m + 1));
    rows.push_back(nans);
  }
  return concatenate(rows, 0);
}

TEST_F(Elementwise, SumSquaresIsThatOfEachRow) {
  for (const int64_t width : {0, 1, 7, 15, 16, 17, 100, 257, 1030}) {
    const Tensor x = random_weight(static_cast<uint64_t>(width), {5, width});
    leave_nans(5);
    const Tensor sums = backend_->sum_squares(x);
    ASSERT_EQ(sums.shape(), Shape{5});
    const auto in = floats(x), out = floats(sums);
    for (size_t m = 0; m < 5; ++m) {
      double expected = 0;
      for (size_t i = 0; i < static_cast<size_t>(width); ++i)
        expected += std::pow(double{in[m * static_cast<size_t>(width) + i]}, 2);
      ASSERT_NEAR(out[m], expected, expected * static_cast<double>(width + 1) * 0x1p-24);
    }
    for (const int threads : {1, 2, 3, 8}) {
      const auto backend = make_backend("cpu", {.threads = threads});
      EXPECT_TRUE(same_bits(backend->sum_squares(x), sums)) << width << ", " << threads;
      if (width == 0) continue;
      const auto with_others = floats(backend->sum_squares(among_nans(x)));
      for (size_t m = 0; m < 5; ++m) ASSERT_EQ(with_others[2 * m + 1], out[m]);
    }
  }
}

// Five heads, of which each rank has some: their sums of squares are what ranks exchange.
TEST_F(Elementwise, RmsNormPartIsItsPartOfTheWholeNorm) {
  constexpr int64_t kRows = 3, kHeads = 5;
  const std::vector<std::vector<int64_t>> divisions{{5}, {2, 3}, {4, 0, 1}, {1, 1, 1, 1, 1}};
  for (const int64_t head : {1, 7, 16, 33})
    for (const DType dtype : kFloating)
      for (const float eps : {0.0f, 1e-5f, 0.5f}) {
        const int64_t width = kHeads * head;
        const Tensor x = random_weight(static_cast<uint64_t>(head), {kRows, width});
        const Tensor w = random_weight(99, {1, width}).reshape({width}).to(kFloating[head % 3]);
        const auto sums_of = [&](Backend& backend, const Tensor& part) {
          const int64_t heads = part.shape()[1] / head;
          return backend.sum_squares(part.reshape({kRows * heads, head})).reshape({kRows, heads});
        };
        const Tensor sums = sums_of(*backend_, x);
        leave_nans(kRows * width);
        const Tensor whole = backend_->rms_norm_part(x, w, {sums, width, eps}, dtype);
        ASSERT_EQ(whole.dtype(), dtype);
        const auto in = floats(x), weight = floats(w), out = floats(whole);
        const auto n = static_cast<size_t>(width);
        for (size_t m = 0; m < kRows; ++m) {
          double squares = 0;
          for (size_t i = 0; i < n; ++i) squares += std::pow(double{in[m * n + i]}, 2);
          const double norm = std::sqrt(squares / static_cast<double>(n) + double{eps});
          for (size_t i = 0; i < n; ++i) {
            const double expected = double{in[m * n + i]} / norm * double{weight[i]};
            const double bound =
                std::abs(expected) * (static_cast<double>(n + 8) * 0x1p-24 + rounding(dtype));
            ASSERT_NEAR(out[m * n + i], expected, bound + (dtype == DType::kF16 ? 0x1p-25 : 0));
          }
        }
        for (const int threads : {1, 3, 8}) {
          const auto backend = make_backend("cpu", {.threads = threads});
          for (const auto& division : divisions) {
            std::vector<Tensor> parts, own;
            int64_t begin = 0;
            for (const int64_t heads : division) {
              const int64_t end = begin + heads * head;
              const Tensor part = x.slice(1, begin, end);
              own.push_back(sums_of(*backend, part));
              parts.push_back(
                  backend->rms_norm_part(part, w.slice(0, begin, end), {sums, width, eps}, dtype));
              begin = end;
            }
            EXPECT_TRUE(same_bits(concatenate(own, 1), sums)) << head << ", " << threads;
            EXPECT_TRUE(same_bits(concatenate(parts, 1), whole)) << head << ", " << threads;
          }
        }
      }
}

// x [rows, heads, width] turned in float64; the angle is the product of position and frequency.
void expect_turned(const Tensor& y, const Tensor& x, const RopeTable& table, int64_t first) {
  const int64_t heads = x.shape()[1], width = x.shape()[2], half = table.dims / 2;
  const auto in = floats(x), out = floats(y), frequencies = floats(table.frequencies);
  for (int64_t row = 0; row < x.shape()[0] * heads; ++row) {
    const double position = static_cast<double>(first + row / heads);
    const auto at = [&](int64_t i) { return static_cast<size_t>(row * width + i); };
    for (int64_t i = 0; i < half; ++i) {
      const bool adjacent = table.pairs == RopeTable::Pairs::kAdjacent;
      const size_t a = at(adjacent ? 2 * i : i), b = at(adjacent ? 2 * i + 1 : i + half);
      const double angle = position * double{frequencies[static_cast<size_t>(i)]};
      const double c = std::cos(angle) * double{table.magnitude};
      const double s = std::sin(angle) * double{table.magnitude};
      const double size = std::abs(double{in[a]}) + std::abs(double{in[b]});
      // float32 rounds the angle; sine, cosine and the sum round once each.
      const double bound = size * ((angle + 4) * 0x1p-24 + rounding(x.dtype())) + 0x1p-25;
      ASSERT_NEAR(out[a], double{in[a]} * c - double{in[b]} * s, bound) << row << ", pair " << i;
      ASSERT_NEAR(out[b], double{in[b]} * c + double{in[a]} * s, bound) << row << ", pair " << i;
    }
    for (int64_t i = table.dims; i < width; ++i) ASSERT_EQ(out[at(i)], in[at(i)]);
  }
}

TEST_F(Elementwise, RopeTurnsPairsByTheirPosition) {
  for (const auto pairs : {RopeTable::Pairs::kHalves, RopeTable::Pairs::kAdjacent})
    for (const DType dtype : kFloating)
      for (const int64_t dims : {0, 2, 6, 8})
        for (const int64_t first : {0, 1, 777}) {
          std::vector<float> frequencies;
          for (int64_t i = 0; i < dims / 2; ++i)
            frequencies.push_back(1.0f / static_cast<float>(1 + 3 * i));
          const RopeTable table{pairs, dims, tensor_of(frequencies, {dims / 2}),
                                dims == 6 ? 1.25f : 1.0f};
          const Tensor x = random_weight(5, {3, 2, 8}).to(dtype);
          const Tensor parts[] = {x};
          Tensor y = concatenate(parts, 0);  // a copy of its own
          backend_->rope(y, table, first);
          SCOPED_TRACE(testing::Message() << dims << " of 8, from " << first);
          ASSERT_NO_FATAL_FAILURE(expect_turned(y, x, table, first));
        }
}

TEST_F(Elementwise, HeadsAreJoinedRoundedAndTurned) {
  const RopeTable rope{RopeTable::Pairs::kHalves, 4, tensor_of({1, 0.25f}, {2})};
  for (const DType dtype : kFloating)
    for (const int64_t heads : {1, 3}) {
      const Tensor x = random_weight(1, {2, heads, 8}), y = random_weight(2, {2, heads, 5});
      const Tensor parts[] = {y.slice(2, 1, 5).to(dtype)};
      Tensor turned = concatenate(parts, 2);
      backend_->rope(turned, rope, 6);
      const Tensor both[] = {x.slice(2, 2, 7).to(dtype), turned};
      const Tensor expected = concatenate(both, 2);
      const HeadColumns columns[] = {{x, 2, 7}, {y, 1, 5, &rope}};
      EXPECT_TRUE(same_bits(backend_->join_heads(columns, dtype, 6), expected));

      CacheRows cache(Tensor::zeros(dtype, {heads, 8, 9}));
      CacheRows expected_cache(Tensor::zeros(dtype, {heads, 8, 9}));
      backend_->store_heads(cache, columns, 6);
      backend_->cache_store(expected_cache, expected, 6);
      EXPECT_TRUE(same_bits(*cache.dense(), *expected_cache.dense()));
    }
}

// As by the calls that it stands for, of some rows.
TEST_F(Elementwise, HeadsAreNormedBeforeTheyAreRoundedAndTurn) {
  const RopeTable rope{RopeTable::Pairs::kAdjacent, 4, tensor_of({1, 0.25f}, {2})};
  const Tensor weight = random_weight(3, {1, 6}).reshape({6}).to(DType::kBF16);
  const Tensor bias = random_weight(4, {1, 6}).reshape({6});
  for (const DType dtype : kFloating)
    for (const int64_t heads : {1, 3}) {
      const Tensor x = random_weight(1, {5, heads, 8}), y = random_weight(2, {5, heads, 7});
      const auto rows = [&](const Tensor& all, int64_t begin) {
        return all.slice(0, 2, 5).slice(2, begin, begin + 6).reshape({3 * heads, 6});
      };
      const Shape shape{3, heads, 6};
      const Tensor plain = backend_->rms_norm(rows(x, 1), weight, 1e-5f, dtype).reshape(shape);
      Tensor turned = backend_->layer_norm(rows(y, 0), {weight, bias, 1e-5f}, dtype).reshape(shape);
      backend_->rope(turned, rope, 9);
      const Tensor both[] = {plain, turned};
      const HeadColumns columns[] = {{x, 1, 7, nullptr, RowNorm{weight, nullptr, 1e-5f}},
                                     {y, 0, 6, &rope, RowNorm{weight, &bias, 1e-5f}}};
      CacheRows cache(Tensor::zeros(dtype, {heads, 12, 12}));
      CacheRows expected_cache(Tensor::zeros(dtype, {heads, 12, 12}));
      backend_->cache_store(expected_cache, concatenate(both, 2), 9);
      HeadRows all[] = {{columns, 2, 5, 9, dtype},
                        {columns, 2, 5, 9, dtype, &cache},
                        {std::span(columns).first(1), 2, 5, 0, dtype}};
      backend_->place_each(all);
      EXPECT_TRUE(same_bits(*all[0].result, concatenate(both, 2)));
      EXPECT_TRUE(same_bits(*cache.dense(), *expected_cache.dense()));
      EXPECT_TRUE(same_bits(*all[2].result, plain));
      EXPECT_FALSE(all[1].result);
    }
}

TEST_F(Elementwise, GatesAreWhatTheirActivationSays) {
  const std::vector<float> gates{0, 1, -1, 0.5f, 20, -20, 90, -90, 1000, -1000, 1e-20f, -3};
  const std::vector<float> ups{3, 2, 2, -1.5f, 0.25f, 8, -1, 1, 2, 5, 1, 0};
  for (const Activation activation : kActivations)
    for (const DType dtype : kFloating) {
      const Tensor gate = tensor_of(gates, {3, 4}).to(dtype);
      const Tensor up = tensor_of(ups, {3, 4}).to(dtype);
      const Tensor y = backend_->gated(gate, up, activation);
      ASSERT_EQ(y.dtype(), dtype);
      const auto g = floats(gate), u = floats(up), out = floats(y);
      for (size_t i = 0; i < out.size(); ++i) {
        const double expected = gated(activation, g[i], u[i]);
        const double bound = std::abs(expected) * (16 * 0x1p-24 + rounding(dtype));
        EXPECT_NEAR(out[i], expected, bound + (dtype == DType::kF16 ? 0x1p-25 : 1e-37))
            << g[i] << " of activation " << static_cast<int>(activation);
      }
    }
}

TEST_F(Elementwise, ScaleIsExactFloat32) {
  const Tensor x = random_weight(1, {5, 33});
  const Tensor y = backend_->scale(x, 1.7f);
  ASSERT_EQ(y.shape(), x.shape());
  for (size_t i = 0; i < 5 * 33; ++i) ASSERT_EQ(y.data<float>()[i], x.data<float>()[i] * 1.7f);
}

TEST_F(Elementwise, AddIsExactFloat32) {
  const Tensor x = random_weight(1, {5, 33}), y = random_weight(2, {5, 33});
  const Tensor row = random_weight(3, {1, 33}).reshape({33});
  const Tensor sum = backend_->add(x, y), shifted = backend_->add(x, row);
  for (size_t i = 0; i < 5 * 33; ++i) {
    ASSERT_EQ(sum.data<float>()[i], x.data<float>()[i] + y.data<float>()[i]);
    ASSERT_EQ(shifted.data<float>()[i], x.data<float>()[i] + row.data<float>()[i % 33]);
  }
  EXPECT_EQ(backend_->add(x.slice(0, 2, 2), row).shape(), (Shape{0, 33}));
  EXPECT_TRUE(
      same_bits(backend_->add(row, row), backend_->add(row.reshape({1, 33}), row).reshape({33})));
}

TEST(MakeBackend, KnowsWhatIsBuiltIn) {
  const auto backend = make_backend("cpu", {.threads = 3});
  EXPECT_EQ(backend->name(), "cpu");
  EXPECT_EQ(backend->device(), Device::cpu());
  EXPECT_EQ(backend->threads(), 3);
}

}  // namespace
}  // namespace strake
