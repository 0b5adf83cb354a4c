// Products with few rows on the device, against float64 and the CPU's decoded weights.
#include "ops/cuda/few_rows.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstdio>
#include <limits>
#include <map>
#include <string>

#include "few_rows_case.h"

namespace strake::cuda {
namespace {

class FewRows : public testing::Test {
 protected:
  static void SetUpTestSuite() { seed(); }
};

TEST_F(FewRows, MultipliesEveryFormat) {
  Random random(seed());
  double worst = 0;
  for (const Kind& kind : all_kinds())
    for (const int leaves : {1, 3, 8, 16})
      for (const DType x_dtype : {DType::kBF16, DType::kF16}) {
        if (!kind.format && kind.dtype == DType::kF16 && x_dtype == DType::kBF16) continue;
        SCOPED_TRACE(kind.name + ", leaves " + std::to_string(leaves) + ", x " +
                     std::string(to_string(x_dtype)));
        const int64_t unit = kind.format ? kind.format->group_size() : draw(random, 1, 40);
        const auto cuts = random_cuts(random, leaves, unit, 1 + 1200 / (unit * leaves));
        const SumTree tree(cuts);
        const int64_t n = draw(random, 1, 90), k = cuts.back();
        const HostWeight host = random_weight(random, kind, {n, k});
        const PartialSums whole{tree, kRoot};
        const DeviceWeight weight(host, leaves_of(whole));
        const DeviceRows x = DeviceRows::random(random, x_dtype, 16, k, draw(random, 0, 3) * 4);
        const std::vector<float> w = host.values(), magnitudes = host.magnitudes();
        const auto all = run(call_of(weight, x, 16, steps_of(whole)), 16 * n);
        int64_t wrong = 0;
        for (int64_t m = 0; m < 16; ++m)
          for (int64_t row = 0; row < n; ++row) {
            const Exact expected =
                exact(x.values.data() + m * k, w.data() + row * k, magnitudes.data() + row * k, k);
            const double error =
                std::fabs(static_cast<double>(all[static_cast<size_t>(m * n + row)]) -
                          expected.sum) /
                expected.magnitude;
            worst = std::max(worst, error / rounding(k));
            if (!(error <= rounding(k)) && wrong++ == 0)
              ADD_FAILURE() << "row " << m << ", output " << row << " of " << n << ", inputs " << k
                            << ": " << all[static_cast<size_t>(m * n + row)] << " instead of "
                            << expected.sum << ", error " << error;
          }
        EXPECT_EQ(wrong, 0);
        if (wrong > 0) return;
        for (int m = 1; m < 16; ++m) {
          const auto some = run(call_of(weight, x, m, steps_of(whole)), m * n);
          ASSERT_TRUE(same_bits(some.data(), all.data(), m * n)) << m << " rows";
        }
      }
  std::printf("largest error, of what is allowed: %.3g\n", worst);
}

// Sums of nodes, finished along the tree.
float finish(const SumTree& tree, int index, const std::map<int, float>& known) {
  if (const auto found = known.find(index); found != known.end()) return found->second;
  const SumTree::Node& node = tree.node(index);
  return finish(tree, node.left, known) + finish(tree, node.right, known);
}

TEST_F(FewRows, HasTheSameBitsWhereLeavesAreDivided) {
  Random random(seed() + 1);
  for (const Kind& kind : all_kinds()) {
    if (kind.dtype == DType::kF32) continue;
    const DType x_dtype = kind.dtype == DType::kF16 ? DType::kF16 : DType::kBF16;
    for (const int leaves : {3, 8, 16}) {
      SCOPED_TRACE(kind.name + ", leaves " + std::to_string(leaves));
      const int64_t unit = kind.format ? kind.format->group_size() : 8;
      const auto cuts = random_cuts(random, leaves, unit, 1 + 1200 / (unit * leaves));
      const SumTree tree(cuts);
      const int64_t n = draw(random, 1, 60), k = cuts.back(), m = 3;
      const HostWeight host = random_weight(random, kind, {n, k});
      const DeviceRows x = DeviceRows::random(random, x_dtype, m, k, 0);
      const PartialSums whole{tree, kRoot};
      const auto expected =
          run(call_of(DeviceWeight(host, leaves_of(whole)), x, m, steps_of(whole)), m * n);
      const int64_t cut = cuts[static_cast<size_t>(draw(random, 1, leaves - 1))];
      std::vector<std::map<int, float>> known(static_cast<size_t>(m * n));
      for (const auto& [begin, end] : {std::pair{int64_t{0}, cut}, std::pair{cut, k}}) {
        const std::vector<int> nodes = tree.cover(begin, end);
        const PartialSums part{tree, nodes};
        std::vector<float> columns;
        for (int64_t row = 0; row < m; ++row)
          columns.insert(columns.end(), x.values.begin() + row * k + begin,
                         x.values.begin() + row * k + end);
        const DeviceWeight weight(host.columns(begin, end), leaves_of(part));
        const auto pieces = run(
            call_of(weight, DeviceRows::of(x_dtype, columns, end - begin, 0), m, steps_of(part)),
            static_cast<int64_t>(nodes.size()) * m * n);
        for (size_t node = 0; node < nodes.size(); ++node)
          for (size_t i = 0; i < known.size(); ++i)
            known[i][nodes[node]] = pieces[node * known.size() + i];
      }
      for (size_t i = 0; i < known.size(); ++i)
        ASSERT_EQ(std::bit_cast<uint32_t>(finish(tree, 0, known[i])),
                  std::bit_cast<uint32_t>(expected[i]))
            << "element " << i << ", cut at " << cut << " of " << k;
    }
  }
}

TEST_F(FewRows, HasTheSameBitsWhereMatricesAreJoined) {
  Random random(seed() + 4);
  for (const Kind& kind : all_kinds())
    for (const int leaves : {1, 3, 8}) {
      SCOPED_TRACE(kind.name + ", leaves " + std::to_string(leaves));
      const DType x_dtype = kind.dtype == DType::kF16 ? DType::kF16 : DType::kBF16;
      const int64_t unit = kind.format ? kind.format->group_size() : 8;
      const auto cuts = random_cuts(random, leaves, unit, 1 + 600 / (unit * leaves));
      const SumTree tree(cuts);
      const int64_t k = cuts.back();
      const int m = static_cast<int>(draw(random, 1, 16)), count = kMostJoined;
      const PartialSums whole{tree, kRoot};
      const DeviceRows x = DeviceRows::random(random, x_dtype, m, k, 0);
      std::vector<DeviceWeight> weights;
      std::vector<DeviceBytes> results;
      std::vector<JoinedProduct> joined;
      for (int i = 0; i < count; ++i) {
        weights.emplace_back(random_weight(random, kind, {draw(random, 1, 300), k}),
                             leaves_of(whole));
        results.emplace_back(int64_t{m} * weights.back().packed.shape.rows * 4);
        if (i > 0) joined.push_back({weights.back().packed, results.back().data()});
      }
      FewRowsCall call = call_of(weights[0], x, m, steps_of(whole));
      call.joined = joined;
      // So few multiprocessors that a block has items of several matrices.
      FewRowsDevice device = few_rows_device();
      device.multiprocessors = static_cast<int>(draw(random, 1, 4));
      const auto first = run_on(device, call, int64_t{m} * weights[0].packed.shape.rows);
      for (int i = 0; i < count; ++i) {
        const DeviceWeight& weight = weights[static_cast<size_t>(i)];
        const int64_t n = weight.packed.shape.rows;
        const auto alone = run(call_of(weight, x, m, steps_of(whole)), m * n);
        const auto found = i == 0 ? first : results[static_cast<size_t>(i)].get<float>();
        ASSERT_TRUE(same_bits(found.data(), alone.data(), m * n)) << i << " of " << n << ", " << m;
      }
    }
}

// Every code under every scale, alone: exactly what the CPU decodes, but for affine biases, which
// may be rounded together with a multiple of the scale.
TEST_F(FewRows, DecodesEveryByte) {
  Random random(seed() + 3);
  for (const Kind& kind : all_kinds()) {
    if (!kind.format) continue;
    SCOPED_TRACE(kind.name);
    const Format format = *kind.format;
    const int64_t codes = int64_t{1} << format.bits(), group = format.group_size();
    const int64_t k = std::max(codes, group), n = 256;
    HostWeight host = random_quantized(random, format, kind.dtype, {n, k});
    Tensor words = Tensor::zeros(DType::kU32, {n, format.words(k)});
    for (int64_t row = 0; row < n; ++row)
      for (int64_t i = 0; i < k * format.bits(); ++i) {
        const uint64_t code = static_cast<uint64_t>(i / format.bits() + row) % codes;
        words.mutable_data<uint32_t>()[static_cast<size_t>(row * format.words(k) + i / 32)] |=
            static_cast<uint32_t>(code >> (i % format.bits()) & 1) << (i % 32);
      }
    QuantizedParts parts{words, host.quantized->scales(), host.quantized->biases()};
    if (!format.has_biases())
      for (size_t i = 0; i < static_cast<size_t>(parts.scales.elements()); ++i)
        parts.scales.mutable_data<uint8_t>()[i] =
            static_cast<uint8_t>(i / static_cast<size_t>(k / group));
    host.quantized = QuantizedMatrix::make("codes", format, parts);
    const Leaves leaves = [&] {
      Leaves one;
      one.push(static_cast<int32_t>(k));
      return one;
    }();
    LeafSteps steps;
    steps.nodes = 1;
    const DeviceWeight weight(host, leaves);
    const std::vector<float> w = host.values();
    const bool affine = format.has_biases();
    const Tensor none = Tensor::zeros(DType::kF32, {0});
    const Tensor scales = affine ? host.quantized->scales().to(DType::kF32) : none;
    const Tensor biases = affine ? host.quantized->biases()->to(DType::kF32) : none;
    const auto rounding_of_bias = [&](int64_t row, int64_t input) {
      const auto at = static_cast<size_t>(row * (k / group) + input / group);
      return 0x1p-22 * std::fabs(static_cast<double>(scales.data<float>()[at]) *
                                 static_cast<double>(codes)) +
             0x1p-22 * std::fabs(static_cast<double>(biases.data<float>()[at]));
    };
    for (int64_t first = 0; first < k; first += 16) {
      std::vector<float> values(static_cast<size_t>(16 * k));
      for (int64_t m = 0; m < 16; ++m) values[static_cast<size_t>(m * k + first + m)] = 1.0f;
      const DeviceRows x = DeviceRows::of(DType::kBF16, std::move(values), k, 0);
      const auto found = run(call_of(weight, x, 16, steps), 16 * n);
      for (int64_t m = 0; m < 16; ++m)
        for (int64_t row = 0; row < n; ++row) {
          double expected = 0;  // with zero times infinity
          for (int64_t i = 0; i < k; ++i)
            expected += static_cast<double>(x.values[static_cast<size_t>(m * k + i)]) *
                        static_cast<double>(w[static_cast<size_t>(row * k + i)]);
          const auto value = static_cast<double>(found[static_cast<size_t>(m * n + row)]);
          if (std::isnan(expected)) {
            ASSERT_TRUE(std::isnan(value)) << "scale " << row << ", input " << first + m;
            continue;
          }
          // Below 2^-126 bfloat16 has multiples of 2^-133.
          double allowed = std::fabs(expected) < 0x1p-126 ? 0x1p-134 : 0;
          if (affine) allowed += rounding_of_bias(row, first + m);
          ASSERT_LE(std::fabs(value - expected), allowed)
              << "scale " << row << ", input " << first + m << ": " << value << " instead of "
              << expected;
        }
    }
  }
}

// A power of two beyond all others is infinite, and codes of one sign keep it so.
TEST_F(FewRows, HasInfiniteScales) {
  for (const std::string_view mode : {"mxfp4", "mxfp8"}) {
    const Format format = Format::parse(mode);
    QuantizedParts parts{Tensor::empty(DType::kU32, {1, format.words(32)}),
                         Tensor::empty(DType::kU8, {1, 1})};
    for (uint32_t& word : parts.codes.mutable_data<uint32_t>()) word = 0x22222222u;
    parts.scales.mutable_data<uint8_t>()[0] = 255;
    const HostWeight host{QuantizedMatrix::make("infinite", format, parts),
                          Tensor::zeros(DType::kF32, {0}), DType::kU8};
    const SumTree tree = SumTree::whole(32);
    const PartialSums whole{tree, kRoot};
    const DeviceWeight weight(host, leaves_of(whole));
    const DeviceRows x = DeviceRows::of(DType::kBF16, std::vector<float>(32, 1.0f), 32, 0);
    EXPECT_EQ(run(call_of(weight, x, 1, steps_of(whole)), 1)[0],
              std::numeric_limits<float>::infinity());
  }
}

}  // namespace
}  // namespace strake::cuda
