// Products and look-ups of every kind of weight, against float64.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "ops/cpu/block_layout.h"
#include "quant/tensors.h"
#include "strake/base/error.h"
#include "strake/ops/backend.h"
#include "support/bits.h"
#include "support/weights.h"

namespace strake {
namespace {

constexpr DType kFloating[] = {DType::kF32, DType::kF16, DType::kBF16};

TEST(Matmul, EqualsFloat64WithinTheRoundingOfItsSums) {
  const auto backend = make_backend("cpu", {.threads = 2});
  uint64_t seed = 0;
  for (const WeightKind& kind : all_weight_kinds())
    for (const int64_t rows : {1, 2, 5})
      for (const int64_t out : {1, 3, 17})
        for (int64_t groups = 1; groups <= 5; ++groups) {
          const int64_t in = groups * kind.group();
          SCOPED_TRACE(testing::Message() << kind.name << ", " << rows << "x" << out << "x" << in);
          ++seed;
          const Weight w = kind.make(seed, {out, in});
          const Tensor x = random_weight(seed + 1000, {rows, in}).to(kFloating[seed % 3]);
          ASSERT_NO_FATAL_FAILURE(
              expect_product(backend->matmul(x, w, SumTree::whole(in)), x, values_of(w)));
        }
}

TEST(Matmul, TakesDenseWeightsOfAnyInputs) {
  const auto backend = make_backend("cpu", {});
  for (int64_t in = 1; in <= 70; ++in) {
    const Tensor x = random_weight(1, {2, in});
    const Tensor w = random_weight(2, {3, in}).to(DType::kF16);
    ASSERT_NO_FATAL_FAILURE(expect_product(backend->matmul(x, w, SumTree::whole(in)), x, w)) << in;
  }
}

TEST(Matmul, EachElementIsComputedByItself) {
  const auto one = make_backend("cpu", {.threads = 1});
  for (const WeightKind& kind : all_weight_kinds()) {
    SCOPED_TRACE(kind.name);
    const int64_t in = 5 * kind.group();
    const Weight w = kind.make(1, {17, in});
    const Tensor x = random_weight(2, {5, in}).to(DType::kBF16);
    const int64_t cuts[] = {0, kind.group(), 3 * kind.group(), in};
    const SumTree tree(cuts);
    const Tensor y = one->matmul(x, w, tree);
    for (const int threads : {2, 3, 7})
      EXPECT_TRUE(same_bits(make_backend("cpu", {.threads = threads})->matmul(x, w, tree), y));
    for (int64_t m = 0; m < 5; ++m)
      for (const int64_t n : {0, 8, 16})
        EXPECT_TRUE(same_bits(one->matmul(x.slice(0, m, m + 1), w.slice(0, n, n + 1), tree),
                              y.slice(0, m, m + 1).slice(1, n, n + 1)));
  }
}

// Rows, outputs and inputs of every size that kernels treat differently: one row, a tile, several
// tiles; parts of a block, several blocks; parts of a line of scales, a tree of several leaves.
TEST(Matmul, IsRightOnEveryPathAndTheSameForPreparedWeights) {
  uint64_t seed = 0;
  for (const std::string_view path : backend_paths("cpu")) {
    const auto backend = make_backend("cpu", {.threads = 2, .path = std::string(path)});
    ASSERT_EQ(backend->path(), path);
    for (const WeightKind& kind : all_weight_kinds())
      for (const int64_t out : {1, 16, 70})
        for (const int64_t groups : {1, 5, 9}) {
          const int64_t in = groups * kind.group();
          ++seed;
          const Weight w = kind.make(seed, {out, in});
          const Weight prepared = backend->prepare(w);
          EXPECT_EQ(prepared.shape(), w.shape());
          EXPECT_EQ(prepared.format(), w.format());
          const int64_t cuts[] = {0, in / kind.group() / 2 * kind.group(), in};
          const SumTree tree = groups == 1 ? SumTree::whole(in) : SumTree(cuts);
          const Tensor all = random_weight(seed + 1000, {29, in});
          for (const DType dtype : kFloating) {
            SCOPED_TRACE(testing::Message() << path << ", " << kind.name << ", " << out << "x" << in
                                            << ", " << to_string(dtype));
            const Tensor x = all.to(dtype);
            const Tensor y = backend->matmul(x, prepared, tree);
            ASSERT_NO_FATAL_FAILURE(expect_product(y, x, values_of(w)));
            for (const int64_t rows : {1, 2, 3, 8, 9, 13}) {
              const Tensor part = x.slice(0, 29 - rows, 29);
              EXPECT_TRUE(same_bits(backend->matmul(part, w, tree), y.slice(0, 29 - rows, 29)))
                  << rows;
            }
          }
        }
  }
}

// x times 2^exponent.
Tensor times_power(const Tensor& x, int exponent) {
  std::vector<float> values = floats(x);
  for (float& value : values) value = std::ldexp(value, exponent);
  return tensor_of(values, x.shape()).to(x.dtype());
}

Tensor below_each_other(const Tensor& a, const Tensor& b) {
  std::vector<float> values = floats(a);
  const std::vector<float> others = floats(b);
  values.insert(values.end(), others.begin(), others.end());
  return tensor_of(values, {a.shape()[0] + b.shape()[0], a.shape()[1]}).to(a.dtype());
}

// Kernels may read codes as other powers of two than they stand for, as far as activations allow.
TEST(Matmul, PowersOfTwoInActivationsChangeNoOtherBits) {
  for (const std::string_view path : backend_paths("cpu")) {
    const auto backend = make_backend("cpu", {.threads = 1, .path = std::string(path)});
    for (const WeightKind& kind : all_weight_kinds())
      for (const DType dtype : {DType::kBF16, DType::kF32})
        for (const int64_t rows : {1, 2, 5}) {
          SCOPED_TRACE(testing::Message() << path << ", " << kind.name << ", " << rows
                                          << " rows of " << to_string(dtype));
          const int64_t in = 6 * kind.group();
          const SumTree tree = SumTree::whole(in);
          const Weight w = kind.make(1, {17, in});
          const Tensor x = random_weight(2, {rows, in}).to(dtype);
          const Tensor y = backend->matmul(x, w, tree);
          for (const int exponent : {-90, -60, 49, 90}) {
            const Tensor extreme = times_power(x, exponent);
            EXPECT_TRUE(same_bits(backend->matmul(extreme, w, tree), times_power(y, exponent)))
                << exponent;
            // Each row is computed by itself beside those of another size.
            const Tensor both = backend->matmul(below_each_other(x, extreme), w, tree);
            EXPECT_TRUE(same_bits(both.slice(0, 0, rows), y)) << "beside 2^" << exponent;
          }
        }
  }
}

TEST(Matmul, KeepsWhatIsNoNumberInItsRow) {
  for (const std::string_view path : backend_paths("cpu")) {
    const auto backend = make_backend("cpu", {.threads = 1, .path = std::string(path)});
    for (const WeightKind& kind : all_weight_kinds()) {
      const int64_t in = 2 * kind.group();
      const SumTree tree = SumTree::whole(in);
      const Weight w = kind.make(1, {3, in});
      std::vector<float> values = floats(random_weight(2, {2, in}));
      values[7] = std::numeric_limits<float>::quiet_NaN();
      const Tensor x = tensor_of(values, {2, in}).to(DType::kBF16);
      const Tensor y = backend->matmul(x, w, tree);
      for (const float value : floats(y.slice(0, 0, 1)))
        EXPECT_TRUE(std::isnan(value)) << path << ", " << kind.name;
      EXPECT_TRUE(same_bits(y.slice(0, 1, 2), backend->matmul(x.slice(0, 1, 2), w, tree)))
          << path << ", " << kind.name;
    }
  }
}

TEST(Matmul, TakesPreparedWeightsOfPathsWithTheSameArrangementAlone) {
  const auto paths = backend_paths("cpu");
  const auto arrangement = [](std::string_view path) {
    return cpu::arrangement_of(cpu::find_path(path));
  };
  const Weight w = all_weight_kinds().front().make(1, {4, 128});
  const Tensor x = random_weight(2, {1, 128});
  const SumTree tree = SumTree::whole(128);
  for (const std::string_view a : paths)
    for (const std::string_view b : paths) {
      SCOPED_TRACE(testing::Message() << "prepared by " << a << " for " << b);
      const Weight prepared = make_backend("cpu", {.path = std::string(a)})->prepare(w);
      const auto backend = make_backend("cpu", {.path = std::string(b)});
      if (arrangement(a) == arrangement(b))
        EXPECT_NO_THROW(backend->matmul(x, prepared, tree));
      else
        EXPECT_THROW(backend->matmul(x, prepared, tree), Error);
    }
}

TEST(Matmul, RefusesToSlicePreparedWeights) {
  const auto backend = make_backend("cpu", {});
  const Weight w = backend->prepare(all_weight_kinds().front().make(1, {4, 128}));
  EXPECT_THROW(w.slice(0, 0, 2), Error);
}

TEST(Matmul, NamesThePathsThatThereAre) {
  try {
    make_backend("cpu", {.path = "abacus"});
    FAIL() << "made a backend of an unknown path";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("portable"), std::string::npos) << error.what();
  }
}

TEST(Matmul, GivesEmptyResultsForNoRowsOutputsOrInputs) {
  const auto backend = make_backend("cpu", {});
  const SumTree tree = SumTree::whole(64);
  const Weight w = quantize(random_weight(1, {4, 64}), Format::parse("mxfp4"), Encoder::kMlx);
  EXPECT_EQ(backend->matmul(Tensor::zeros(DType::kF32, {0, 64}), w, tree).shape(), (Shape{0, 4}));
  EXPECT_EQ(backend->matmul(Tensor::zeros(DType::kF32, {3, 64}), w.slice(0, 2, 2), tree).shape(),
            (Shape{3, 0}));
  EXPECT_EQ(
      backend->matmul(Tensor::zeros(DType::kF32, {3, 0}), w.slice(1, 32, 32), {tree, {}}).shape(),
      (Shape{0, 3, 4}));
}

// The matrix [out, in] of a stack [1, out, in].
Weight only_matrix(const Weight& stack) {
  const auto flat = [](const Tensor& t) { return t.reshape({t.shape()[1], t.shape()[2]}); };
  if (stack.dense() != nullptr) return flat(*stack.dense());
  const QuantizedMatrix& matrix = *stack.quantized();
  QuantizedParts parts{flat(matrix.codes()), flat(matrix.scales())};
  if (matrix.biases()) parts.biases = flat(*matrix.biases());
  parts.tensor_amax = matrix.tensor_amax();
  return QuantizedMatrix::make("matrix", matrix.format(), std::move(parts));
}

TEST(GatherMatmul, EqualsTheProductWithEachExpert) {
  const auto backend = make_backend("cpu", {.threads = 2});
  const std::vector<int32_t> lhs{0, 0, 2, 1, 2, 0, 1};
  const std::vector<int32_t> rhs{3, 0, 3, 1, 0, 3, 3};
  for (const WeightKind& kind : all_weight_kinds()) {
    SCOPED_TRACE(kind.name);
    const int64_t in = 3 * kind.group();
    const Weight w = kind.make(1, {4, 5, in});
    const Tensor x = random_weight(2, {3, in}).to(DType::kF16);
    const int64_t cuts[] = {0, kind.group(), in};
    const SumTree tree(cuts);
    const auto leaves = {tree.cover(0, kind.group()).front(), tree.cover(kind.group(), in).front()};
    const std::vector<int> nodes(leaves);
    const Tensor y = backend->gather_matmul(x, w, {lhs, rhs}, {tree, nodes});
    ASSERT_EQ(y.shape(), (Shape{2, 7, 5}));
    for (size_t i = 0; i < lhs.size(); ++i) {
      const Tensor row = x.slice(0, lhs[i], lhs[i] + 1);
      const Tensor expected =
          backend->matmul(row, only_matrix(w.slice(0, rhs[i], rhs[i] + 1)), {tree, nodes});
      const auto at = static_cast<int64_t>(i);
      EXPECT_TRUE(same_bits(y.slice(1, at, at + 1), expected)) << i;
    }
  }
  EXPECT_EQ(backend
                ->gather_matmul(Tensor::zeros(DType::kF32, {3, 32}), random_weight(1, {2, 5, 32}),
                                {{}, {}}, {SumTree::whole(32), std::vector<int>{0}})
                .shape(),
            (Shape{1, 0, 5}));
}

// The first columns of each head, whatever stands behind them.
TEST(HeadMatmul, EqualsTheProductOfEachHead) {
  constexpr int64_t kHeads = 3, kRows = 4, kIn = 128, kOut = 9;
  const auto backend = make_backend("cpu", {.threads = 2});
  const SumTree tree = SumTree::whole(kIn);
  for (const WeightKind& kind : all_weight_kinds())
    for (const int64_t width : {kIn, kIn + 16}) {
      SCOPED_TRACE(kind.name);
      const Weight w = kind.make(1, {kHeads, kOut, kIn});
      const Tensor x = random_weight(2, {kRows, kHeads, width}).to(DType::kBF16);
      const Tensor found = backend->head_matmul(x, w, tree, DType::kBF16);
      ASSERT_EQ(found.shape(), (Shape{kRows, kHeads, kOut}));
      for (int64_t head = 0; head < kHeads; ++head) {
        const Tensor own = x.slice(1, head, head + 1).reshape({kRows, width}).slice(1, 0, kIn);
        const std::vector<int32_t> items{0, 1, 2, 3}, matrices(kRows, static_cast<int32_t>(head));
        const Tensor expected =
            backend->gather_matmul(own, w, {items, matrices}, tree, DType::kBF16);
        EXPECT_TRUE(same_bits(found.slice(1, head, head + 1).reshape({kRows, kOut}), expected));
      }
    }
}

TEST(EmbeddingRows, AreTheRowsThatTheWeightStandsFor) {
  const auto backend = make_backend("cpu", {.threads = 2});
  const std::vector<int32_t> ids{6, 0, 3, 3, 1};
  for (const WeightKind& kind : all_weight_kinds()) {
    SCOPED_TRACE(kind.name);
    const Weight w = kind.make(1, {7, 2 * kind.group()});
    const Tensor values = values_of(w);
    std::vector<Tensor> rows;
    for (const int32_t id : ids) rows.push_back(values.slice(0, id, id + 1));
    EXPECT_TRUE(same_bits(backend->embedding(w, ids), concatenate(rows, 0)));
    EXPECT_EQ(backend->embedding(w, {}).shape(), (Shape{0, 2 * kind.group()}));
  }
}

}  // namespace
}  // namespace strake
