// The kernels of AMX with tiles computed in plain C++, against float64 and, where the processor has
// it, against AMX.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "ops/cpu/amx/kernels.h"
#include "ops/cpu/matmul.h"
#include "ops/emulated_tiles.h"
#include "strake/ops/backend.h"
#include "support/bits.h"
#include "support/weights.h"

namespace strake {
namespace {

bool has_path(std::string_view path) {
  const auto paths = backend_paths("cpu");
  return std::ranges::find(paths, path) != paths.end();
}

class EmulatedAmx : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_path("avx512-bf16")) GTEST_SKIP() << "the kernels unpack codes with AVX-512";
  }

  // What Backend::gather_matmul computes; `rows[i]` of x go through matrix i.
  Tensor product(const Tensor& x, const Weight& w, const std::vector<std::vector<int64_t>>& rows,
                 const PartialSums& sums) {
    int64_t count = 0;
    for (const auto& of_matrix : rows) count += std::ssize(of_matrix);
    const int64_t out = w.shape()[-2];
    Tensor y = Tensor::empty(DType::kF32, {std::ssize(sums.nodes), count, out});
    const cpu::Blocks blocks(w, cpu::Arrangement::kPairs);
    cpu::SumSchedule schedule;
    schedule.assign(sums);
    EXPECT_TRUE(cpu::amx::takes(blocks.layout(), schedule));
    const cpu::ProductKernels& kernels = cpu::emulated_amx_kernels();
    std::vector<cpu::MatrixProduct> products(rows.size());
    float* to = y.mutable_data<float>().data();
    for (size_t i = 0; i < rows.size(); ++i) {
      std::vector<cpu::RowTarget> targets;
      for (const int64_t row : rows[i]) {
        targets.push_back({row, to});
        to += out;
      }
      products[i].matrix = static_cast<int64_t>(i);
      products[i].activations.assign(pool_, x, targets, kernels, blocks.layout());
    }
    cpu::multiply_all(pool_, scratch_, {blocks, schedule, kernels, products, count * out});
    return y;
  }

  Tensor product(const Tensor& x, const Weight& w, const PartialSums& sums) {
    std::vector<int64_t> all(static_cast<size_t>(x.shape()[0]));
    std::iota(all.begin(), all.end(), 0);
    return product(x, w, {all}, sums);
  }

  Tensor product(const Tensor& x, const Weight& w, const SumTree& tree) {
    const std::vector<int> root{0};
    const Tensor y = product(x, w, {tree, root});
    return y.reshape({y.shape()[1], y.shape()[2]});
  }

  ThreadPool pool_{2};
  cpu::Scratch scratch_{2};
};

// Those that enter as pairs of bfloat16.
std::vector<WeightKind> paired_kinds() {
  std::vector<WeightKind> kinds = all_weight_kinds();
  std::erase_if(kinds,
                [](const WeightKind& kind) { return !kind.format && kind.dtype != DType::kBF16; });
  return kinds;
}

// Outputs in parts of a block and in more blocks than go at once; inputs in parts of a chunk and of
// a line of scales; a tree with several leaves.
TEST_F(EmulatedAmx, EqualsFloat64AndRowsAreTheirOwn) {
  uint64_t seed = 0;
  for (const WeightKind& kind : paired_kinds())
    for (const int64_t out : {1, 70})
      for (const int64_t groups : {1, 5, 20}) {
        const int64_t in = groups * kind.group();
        SCOPED_TRACE(testing::Message() << kind.name << ", " << out << "x" << in);
        ++seed;
        const Weight w = kind.make(seed, {out, in});
        const Tensor x = random_weight(seed + 1000, {37, in}).to(DType::kBF16);
        const int64_t cuts[] = {0, kind.group(), groups / 2 * kind.group(), in};
        const SumTree tree = groups < 5 ? SumTree::whole(in) : SumTree(cuts);
        const Tensor y = product(x, w, tree);
        ASSERT_NO_FATAL_FAILURE(expect_product(y, x, values_of(w)));
        for (const int64_t rows : {1, 2, 3, 5, 16, 17})
          EXPECT_TRUE(
              same_bits(product(x.slice(0, 37 - rows, 37), w, tree), y.slice(0, 37 - rows, 37)))
              << rows;
        if (out > 16) {
          EXPECT_TRUE(same_bits(product(x, w.slice(0, 33, 50), tree), y.slice(1, 33, 50)));
        }
      }
}

// More rows than one panel multiplies.
TEST_F(EmulatedAmx, TakesManyRows) {
  for (const std::string_view mode : {"affine", "mxfp8"}) {
    const Weight w = quantize(random_weight(1, {50, 384}), Format::parse(mode), Encoder::kMlx);
    const Tensor x = random_weight(2, {300, 384}).to(DType::kBF16);
    const Tensor y = product(x, w, SumTree::whole(384));
    expect_product(y, x, values_of(w));
    EXPECT_TRUE(
        same_bits(product(x.slice(0, 299, 300), w, SumTree::whole(384)), y.slice(0, 299, 300)));
  }
}

// Tiles take subnormal numbers for zeros, and so must one row, which needs no tiles else.
TEST_F(EmulatedAmx, OneRowHasTheSameBitsWhereActivationsAreTiny) {
  for (const WeightKind& kind : paired_kinds()) {
    SCOPED_TRACE(kind.name);
    const int64_t in = 3 * kind.group();
    const Weight w = kind.make(1, {40, in});
    for (const float least : {0x1p-133f, 0x1p-126f, 0x1p-120f, 0x1p-110f}) {
      Tensor values = random_weight(2, {5, in});
      const std::span<float> all = values.mutable_data<float>();
      for (size_t i = 0; i < all.size(); i += 3) all[i] = i % 2 == 0 ? 0.0f : least * all[i];
      const Tensor x = values.to(DType::kBF16);
      const SumTree tree = SumTree::whole(in);
      const Tensor y = product(x, w, tree);
      for (int64_t m = 0; m < 5; ++m)
        EXPECT_TRUE(same_bits(product(x.slice(0, m, m + 1), w, tree), y.slice(0, m, m + 1)))
            << least << ", row " << m;
    }
  }
}

TEST_F(EmulatedAmx, PartsOfASumAreThoseOfTheWhole) {
  for (const WeightKind& kind : paired_kinds()) {
    SCOPED_TRACE(kind.name);
    const int64_t group = kind.group(), in = 16 * group;
    const Weight w = kind.make(1, {20, in});
    const Tensor x = random_weight(2, {3, in}).to(DType::kBF16);
    const int64_t cuts[] = {0, 3 * group, 4 * group, 9 * group, 15 * group, in};
    const SumTree tree(cuts);
    const auto nodes = tree.cover(0, in);
    std::vector<Tensor> parts;
    std::vector<int> leaves;
    for (size_t i = 0; i + 1 < std::size(cuts); ++i) {
      const std::vector<int> leaf = tree.cover(cuts[i], cuts[i + 1]);
      leaves.insert(leaves.end(), leaf.begin(), leaf.end());
      parts.push_back(product(x.slice(1, cuts[i], cuts[i + 1]), w.slice(1, cuts[i], cuts[i + 1]),
                              {tree, leaf}));
    }
    const PartialSums all{tree, leaves};
    EXPECT_TRUE(same_bits(product(x, w, all), concatenate(parts, 0)));
    EXPECT_TRUE(same_bits(
        make_backend("cpu", {.path = "avx512-bf16"})->finish_sums(concatenate(parts, 0), all),
        product(x, w, tree)));
  }
}

TEST_F(EmulatedAmx, ExpertsTakeAnyNumbersOfRows) {
  for (const WeightKind& kind : paired_kinds()) {
    SCOPED_TRACE(kind.name);
    const int64_t in = 3 * kind.group();
    const Weight w = kind.make(1, {3, 20, in});
    const Tensor x = random_weight(2, {19, in}).to(DType::kBF16);
    std::vector<int64_t> all(19);
    std::iota(all.rbegin(), all.rend(), 0);
    const SumTree tree = SumTree::whole(in);
    const std::vector<int> root{0};
    const Tensor y = product(x, w, {{4}, all}, {tree, root}).reshape({20, 20});
    const Tensor values = values_of(w);
    const auto matrix = [&](int64_t i) { return values.slice(0, i, i + 1).reshape({20, in}); };
    ASSERT_NO_FATAL_FAILURE(expect_product(y.slice(0, 0, 1), x.slice(0, 4, 5), matrix(0)));
    ASSERT_NO_FATAL_FAILURE(
        expect_product(y.slice(0, 20 - 4 - 1, 20 - 4), x.slice(0, 4, 5), matrix(1)));
    const Tensor lone = product(x, w, {{4}, {4}}, {tree, root}).reshape({2, 20});
    EXPECT_TRUE(same_bits(lone.slice(0, 0, 1), y.slice(0, 0, 1)));
    EXPECT_TRUE(same_bits(lone.slice(0, 1, 2), y.slice(0, 20 - 4 - 1, 20 - 4)));
  }
}

TEST_F(EmulatedAmx, GivesTheBitsOfAmx) {
  if (!has_path("amx-bf16")) GTEST_SKIP() << "no AMX here";
  const auto backend = make_backend("cpu", {.threads = 2, .path = "amx-bf16"});
  uint64_t seed = 0;
  for (const WeightKind& kind : paired_kinds())
    for (const int64_t rows : {1, 7, 40}) {
      SCOPED_TRACE(testing::Message() << kind.name << ", " << rows << " rows");
      ++seed;
      const int64_t in = 9 * kind.group();
      const Weight w = kind.make(seed, {70, in});
      const Tensor x = random_weight(seed + 1000, {rows, in}).to(DType::kBF16);
      const SumTree tree = SumTree::whole(in);
      EXPECT_TRUE(same_bits(backend->matmul(x, w, tree), product(x, w, tree)));
    }
}

uint32_t pair(float even, float odd) {
  return static_cast<uint32_t>(to_bf16(odd).bits) << 16 | to_bf16(even).bits;
}

// One sum of two pairs, on top of `before`.
float emulated_sum(float before, const uint32_t (&a)[2], const uint32_t (&b)[2]) {
  TileConfig config;
  config.set(0, 1, 4);
  config.set(1, 1, 8);
  config.set(2, 2, 4);
  cpu::EmulatedTiles::configure(config);
  cpu::EmulatedTiles::load<0>(&before, 4);
  cpu::EmulatedTiles::load<1>(a, 8);
  cpu::EmulatedTiles::load<2>(b, 4);
  cpu::EmulatedTiles::multiply<0, 1, 2>();
  cpu::EmulatedTiles::store<0>(&before, 4);
  cpu::EmulatedTiles::release();
  return before;
}

TEST(EmulatedTiles, SumEvenAndOddInputsApart) {
  const uint32_t ones[2] = {pair(1, 1), pair(1, 1)};
  EXPECT_EQ(emulated_sum(5, {pair(1, 2), pair(3, 4)}, {pair(10, 20), pair(30, 40)}), 305);
  // 2^24 + 1 is 2^24 in float32: even inputs lose theirs, odd ones do not.
  EXPECT_EQ(emulated_sum(0, {pair(0x1p24f, 1), pair(1, 1)}, ones), 0x1p24f + 2);
  EXPECT_EQ(emulated_sum(0, {pair(0x1p24f, -0x1p24f), pair(1, 0)}, ones), 0);
  // The sum of both comes before what was there.
  EXPECT_EQ(emulated_sum(0x1p24f, {pair(1, 1), pair(0, 0)}, ones), 0x1p24f + 2);
}

TEST(EmulatedTiles, TakeSubnormalNumbersForZeros) {
  EXPECT_EQ(emulated_sum(0, {pair(0x1p-127f, 0), 0}, {pair(0x1p100f, 0), 0}), 0);
  EXPECT_EQ(emulated_sum(0, {pair(0x1p-100f, 0), 0}, {pair(0x1p-27f, 0), 0}), 0);
  EXPECT_EQ(emulated_sum(0, {pair(0x1p-100f, 0), 0}, {pair(0x1p-26f, 0), 0}), 0x1p-126f);
  EXPECT_EQ(emulated_sum(0x1p-127f, {pair(1, 0), 0}, {pair(0x1p-126f, 0), 0}), 0x1p-126f);
}

}  // namespace
}  // namespace strake
