// Products with many rows against float64, and against themselves divided otherwise.
#include "ops/cuda/many_rows.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <iostream>

#include "tests/ops/cuda/packed_matrix.h"
#include "tests/ops/cuda/reference.h"

namespace strake::cuda {
namespace {

constexpr size_t kGuard = 1024;  // floats after a result that nothing may write
constexpr int kPoison = 0xff;    // of each byte: NaN

uint32_t seed() {
  static const uint32_t value = [] {
    const uint32_t fresh = std::random_device()();
    std::cout << "seed " << fresh << std::endl;
    return fresh;
  }();
  return value;
}

Leaves leaves_of(const std::vector<int64_t>& cuts) {
  Leaves leaves;
  for (size_t i = 1; i < cuts.size(); ++i) leaves.push(static_cast<int32_t>(cuts[i] - cuts[i - 1]));
  return leaves;
}

// Eight leaves of so many groups each: odd tiles and parts of tiles.
std::vector<int64_t> eight_leaves(int group) {
  constexpr int kGroups[] = {3, 5, 1, 7, 4, 3, 6, 2};
  const int unit = std::max(group, 32);
  std::vector<int64_t> cuts{0};
  for (const int groups : kGroups) cuts.push_back(cuts.back() + int64_t{groups} * unit);
  return cuts;
}

struct Activations {
  std::vector<float> values;  // what the bits are
  DeviceArray<uint16_t> device;
  DType type;
  int64_t columns;
  int64_t stride;
  int64_t first;  // element of the first row in the device's array

  ManyRowsActivations rows(int64_t tokens, int64_t column = 0) const {
    return {device.data() + first + column, type, stride, tokens};
  }
};

struct Placement {
  int64_t stride_beyond = 0;
  int64_t first = 0;
};

Activations random_activations(DType type, int64_t tokens, int64_t columns, std::mt19937& rng,
                               Placement placement = {}) {
  const int64_t stride = columns + placement.stride_beyond;
  // NaN beyond the rows: nothing may read what lies there.
  std::vector<uint16_t> bits(static_cast<size_t>(placement.first + tokens * stride), 0x7fff);
  std::vector<float> values;
  std::normal_distribution<float> normal;
  for (int64_t row = 0; row < tokens; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      const uint16_t of = to_half_bits(type, normal(rng));
      bits[static_cast<size_t>(placement.first + row * stride + column)] = of;
      values.push_back(half_value(type, of));
    }
  }
  return {std::move(values), DeviceArray<uint16_t>(bits), type, columns, stride, placement.first};
}

std::vector<double> reference(const Activations& x, const HostMatrix& w, int64_t tokens) {
  const DeviceArray<float> from_x(x.values), from_w(w.values());
  const DeviceArray<double> out(static_cast<size_t>(tokens * w.rows));
  reference_product({from_x.data(), from_w.data(), out.data(), static_cast<int>(tokens),
                     static_cast<int>(w.rows), static_cast<int>(w.columns)},
                    nullptr);
  return out.get();
}

// The result of `run` on poisoned memory of so many floats.
template <class Run>
std::vector<float> result(int64_t count, Run&& run) {
  const DeviceArray<float> out(static_cast<size_t>(count) + kGuard);
  out.fill(kPoison);
  run(out.data());
  check(cudaDeviceSynchronize(), "product");
  std::vector<float> found = out.get();
  for (size_t i = static_cast<size_t>(count); i < found.size(); ++i)
    EXPECT_EQ(std::bit_cast<uint32_t>(found[i]), 0xffffffffu) << "written beyond the result";
  found.resize(static_cast<size_t>(count));
  return found;
}

double relative_error(const std::vector<float>& found, const std::vector<double>& expected) {
  double error = 0, size = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double difference = static_cast<double>(found[i]) - expected[i];
    error += difference * difference;
    size += expected[i] * expected[i];
  }
  return std::sqrt(error / size);
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<MatrixKind> all_kinds() {
  std::vector<MatrixKind> kinds;
  for (const Format format : Format::all()) {
    if (format.mode() != Mode::kAffine) {
      kinds.push_back({format, DType::kU8});
      continue;
    }
    for (const DType type : {DType::kBF16, DType::kF16, DType::kF32})
      kinds.push_back({format, type});
  }
  kinds.push_back({std::nullopt, DType::kBF16});
  kinds.push_back({std::nullopt, DType::kF16});
  return kinds;
}

bool multiplies(const MatrixKind& kind, DType x) {
  if (!kind.format) return kind.type == x;
  return x == DType::kBF16 || kind.format->mode() == Mode::kAffine;
}

// Float32 sums of exact products, or values rounded to 8 bits, or 11, once.
double bound(const MatrixKind& kind, DType x) {
  if (kind.exact()) return 1e-4;
  return x == DType::kF16 ? 1e-3 : 5e-3;
}

ManyRowsDevice device() { return many_rows_device(); }

TEST(ManyRows, ReferenceIsTheCpus) {
  std::mt19937 rng(seed());
  const MatrixKind kind{std::nullopt, DType::kBF16};
  const HostMatrix w = random_matrix(kind, 37, 75 * 2, rng);
  const Activations x = random_activations(DType::kBF16, 21, w.columns, rng);
  const auto found = reference(x, w, 21);
  const auto values = w.values();
  for (size_t m = 0; m < 21; ++m)
    for (size_t n = 0; n < 37; ++n) {
      double sum = 0;
      for (size_t k = 0; k < 150; ++k)
        sum +=
            static_cast<double>(x.values[m * 150 + k]) * static_cast<double>(values[n * 150 + k]);
      ASSERT_NEAR(found[m * 37 + n], sum, 1e-10);
    }
}

class ManyRowsKinds : public testing::TestWithParam<size_t> {};

TEST_P(ManyRowsKinds, AreWithinRoundingOfFloat64) {
  const MatrixKind kind = all_kinds()[GetParam()];
  SCOPED_TRACE(kind.name());
  std::mt19937 rng(seed() + static_cast<uint32_t>(GetParam()));
  const auto cuts = eight_leaves(kind.group());
  const SumTree tree(cuts);
  const HostMatrix host = random_matrix(kind, 299, cuts.back(), rng);
  const DeviceMatrix matrix(host, leaves_of(cuts));
  const PackedWeight w = matrix.weight();
  for (const DType type : {DType::kBF16, DType::kF16}) {
    if (!multiplies(kind, type)) continue;
    const Activations x = random_activations(type, 2048, cuts.back(), rng);
    const auto expected = reference(x, host, 2048);
    for (const int64_t tokens : {17, 31, 64, 128, 200, 512, 1000, 2048}) {
      const std::vector<double> of_tokens(expected.begin(), expected.begin() + tokens * host.rows);
      const ManyRowsActivations rows = x.rows(tokens);
      const int nodes[] = {0};
      for (const LeafOrder order : {LeafOrder::kTree, LeafOrder::kChain}) {
        const auto found = result(tokens * host.rows, [&](float* out) {
          many_rows({w, rows, out, device(), nullptr}, {tree, nodes}, order);
        });
        EXPECT_LE(relative_error(found, of_tokens), bound(kind, type))
            << tokens << " tokens, order " << static_cast<int>(order);
      }
      if (tokens > 200) continue;
      const auto plain = result(tokens * host.rows, [&](float* out) {
        many_rows_mma({w, rows, out, device(), nullptr}, {tree, 0, {}, LeafOrder::kTree});
      });
      EXPECT_LE(relative_error(plain, of_tokens), bound(kind, type)) << tokens << " tokens, mma";
    }
    if (testing::Test::HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ManyRowsKinds, testing::Range(size_t{0}, all_kinds().size()));

// Formats that differ in how they are decoded.
std::vector<MatrixKind> some_kinds() {
  return {{Format::parse("mxfp8"), DType::kU8},
          {Format::parse("mxfp4"), DType::kU8},
          {Format::parse("nvfp4"), DType::kU8},
          {Format::parse("affine", 4, 64), DType::kBF16},
          {Format::parse("affine", 5, 32), DType::kF32}};
}

struct TiledSum {
  const SumTree& tree;
  LeafOrder order;
  int64_t tokens;
};

void expect_same_bits(const MatrixKind& kind, const HostMatrix& host, const PackedWeight& w,
                      const Activations& x, const TiledSum& sum) {
  const DeviceArray<float> workspace(static_cast<size_t>(many_rows_workspace_bytes(device())) /
                                     sizeof(float));
  workspace.fill(0);
  // Some blocks make several tiles each, one after the other.
  ManyRowsDevice small = device();
  small.multiprocessors = 3;
  std::vector<float> first;
  const auto check_tiling = [&](const ManyRowsTiling& tiling) {
    const auto schedule =
        many_rows_schedule(sum.tree, 0, {}, tiling.pieces, {sum.order, sum.tokens});
    if (!schedule || !can_have(tiling, *schedule)) return;
    for (const ManyRowsDevice& on : {device(), small}) {
      if (tiling.in_memory &&
          !can_meet_in_memory(tiling, {sum.tokens, host.rows, on.multiprocessors, true}))
        continue;
      const auto found = result(sum.tokens * host.rows, [&](float* out) {
        many_rows_wgmma({.w = w,
                         .x = x.rows(sum.tokens),
                         .out = out,
                         .device = on,
                         .stream = nullptr,
                         .workspace = workspace.data()},
                        {sum.tree, 0, {}, sum.order}, tiling);
      });
      if (first.empty()) first = found;
      EXPECT_TRUE(same_bits(found, first))
          << tiling.tokens << " tokens of " << sum.tokens << ", " << tiling.share_x << " share, "
          << tiling.pieces << " pieces" << (tiling.in_memory ? " in memory, " : ", ")
          << on.multiprocessors << " multiprocessors";
    }
  };
  for (const int tokens : {32, 64, 128, 256})
    for (const int share_x : {1, 2, 4})
      for (const int pieces : {1, 2, 4, 8})
        for (const bool in_memory : {false, true})
          check_tiling({tokens, share_x, pieces, in_memory});
  EXPECT_LE(relative_error(first, reference(x, host, sum.tokens)), bound(kind, DType::kBF16));
}

TEST(ManyRows, HaveTheSameBitsInEveryTiling) {
  for (const MatrixKind& kind : some_kinds()) {
    SCOPED_TRACE(kind.name());
    std::mt19937 rng(seed());
    const auto eight = eight_leaves(kind.group());
    auto sixteen = eight;
    for (size_t i = 1; i < eight.size(); ++i) sixteen.push_back(eight.back() + eight[i]);
    for (const auto& cuts : {eight, sixteen}) {
      const SumTree tree(cuts);
      const HostMatrix host = random_matrix(kind, 600, cuts.back(), rng);
      const DeviceMatrix matrix(host, leaves_of(cuts));
      const PackedWeight w = matrix.weight();
      const Activations x = random_activations(DType::kBF16, 300, cuts.back(), rng);
      for (const LeafOrder order : {LeafOrder::kTree, LeafOrder::kChain})
        for (const int64_t tokens : {100, 300})
          expect_same_bits(kind, host, w, x, {tree, order, tokens});
    }
  }
}

TEST(ManyRows, HaveTheSameBitsWhoeverComputesTheLeaves) {
  for (const MatrixKind& kind : some_kinds()) {
    SCOPED_TRACE(kind.name());
    std::mt19937 rng(seed() + 1);
    const auto cuts = eight_leaves(kind.group());
    const SumTree tree(cuts);
    const HostMatrix host = random_matrix(kind, 299, cuts.back(), rng);
    const DeviceMatrix whole(host, leaves_of(cuts));
    const Activations x = random_activations(DType::kBF16, 512, cuts.back(), rng);
    for (const int64_t tokens : {17, 64, 128, 512}) {
      const int64_t count = tokens * host.rows;
      const int root[] = {0};
      const PackedWeight w = whole.weight();
      const auto all = result(count, [&](float* out) {
        many_rows({w, x.rows(tokens), out, device(), nullptr}, {tree, root}, LeafOrder::kTree);
      });
      // Two ranks with a node each, and one call with both nodes.
      const int halves[] = {tree.node(0).left, tree.node(0).right};
      std::vector<float> apart;
      for (const int half : halves) {
        const SumTree::Node& node = tree.node(half);
        std::vector<int64_t> own{0};
        for (const int64_t cut : cuts)
          if (cut > node.begin && cut <= node.end) own.push_back(cut - node.begin);
        const DeviceMatrix part(host.slice(node.begin, node.end), leaves_of(own));
        const PackedWeight of_part = part.weight();
        const int nodes[] = {half};
        const auto found = result(count, [&](float* out) {
          many_rows({of_part, x.rows(tokens, node.begin), out, device(), nullptr}, {tree, nodes},
                    LeafOrder::kTree);
        });
        apart.insert(apart.end(), found.begin(), found.end());
      }
      const auto together = result(2 * count, [&](float* out) {
        many_rows({w, x.rows(tokens), out, device(), nullptr}, {tree, halves}, LeafOrder::kTree);
      });
      EXPECT_TRUE(same_bits(apart, together)) << tokens << " tokens";
      std::vector<float> combined;
      for (size_t i = 0; i < static_cast<size_t>(count); ++i)
        combined.push_back(apart[i] + apart[static_cast<size_t>(count) + i]);
      EXPECT_TRUE(same_bits(combined, all)) << tokens << " tokens";
    }
  }
}

// Outputs in pairs and alone, both kernels, whole tiles of tokens and parts.
TEST(ManyRows, RoundTheirSumsOnce) {
  const MatrixKind kind{Format::parse("mxfp8"), DType::kU8};
  const std::vector<int64_t> cuts{0, 96, 416};
  const SumTree tree(cuts);
  const int nodes[] = {tree.node(0).left, tree.node(0).right};
  for (const int64_t outputs : {7, 132, 299}) {
    std::mt19937 rng(seed() + static_cast<uint32_t>(outputs));
    const HostMatrix host = random_matrix(kind, outputs, cuts.back(), rng);
    const DeviceMatrix matrix(host, leaves_of(cuts));
    const PackedWeight w = matrix.weight();
    for (const int64_t stride_beyond : {0, 3}) {  // which no tensor map has
      const Activations x =
          random_activations(DType::kBF16, 300, cuts.back(), rng, {stride_beyond, 0});
      for (const int64_t tokens : {33, 128, 300}) {
        const int64_t count = 2 * tokens * outputs;
        const auto floats = result(count, [&](float* out) {
          many_rows({w, x.rows(tokens), out, device(), nullptr}, {tree, nodes}, LeafOrder::kTree);
        });
        for (const DType type : {DType::kBF16, DType::kF16}) {
          const DeviceArray<uint16_t> out(static_cast<size_t>(count) + kGuard);
          out.fill(kPoison);
          many_rows({w, x.rows(tokens), out.data(), device(), nullptr, type}, {tree, nodes},
                    LeafOrder::kTree);
          check(cudaDeviceSynchronize(), "product");
          const auto found = out.get();
          int wrong = 0;
          for (size_t i = 0; i < found.size(); ++i) {
            const uint16_t expected = i < floats.size() ? to_half_bits(type, floats[i]) : 0xffff;
            if (found[i] != expected && ++wrong <= 5)
              ADD_FAILURE() << "element " << i << ": " << found[i] << ", expected " << expected;
          }
          EXPECT_EQ(wrong, 0) << outputs << " outputs, " << tokens << " tokens, "
                              << to_string(type);
        }
      }
    }
  }
}

TEST(ManyRows, TakeRowsOnAnyByte) {
  std::mt19937 rng(seed() + 2);
  const MatrixKind kind{Format::parse("mxfp8"), DType::kU8};
  const std::vector<int64_t> cuts{0, 96, 416};
  const SumTree tree(cuts);
  const HostMatrix host = random_matrix(kind, 50, 416, rng);
  const DeviceMatrix matrix(host, leaves_of(cuts));
  const PackedWeight w = matrix.weight();
  for (const Placement placement : {Placement{0, 0}, {3, 0}, {8, 0}, {0, 1}, {1, 3}, {24, 16}}) {
    const Activations x = random_activations(DType::kBF16, 40, 416, rng, placement);
    const int nodes[] = {0};
    const auto found = result(40 * host.rows, [&](float* out) {
      many_rows({w, x.rows(40), out, device(), nullptr}, {tree, nodes}, LeafOrder::kTree);
    });
    EXPECT_LE(relative_error(found, reference(x, host, 40)), 1e-4)
        << placement.stride_beyond << ", " << placement.first;
  }
}

// x of unit rows: results are the weight's values, as bfloat16 has them.
TEST(ManyRows, DecodeEveryCodeAndScale) {
  for (const MatrixKind& kind : all_kinds()) {
    if (!kind.format) continue;
    SCOPED_TRACE(kind.name());
    std::mt19937 rng(seed() + 3);
    const int64_t columns = std::max(64, kind.group());
    HostMatrix host = random_matrix(kind, 2048, columns, rng);
    // All scales whose products with every element are finite.
    if (kind.format->mode() == Mode::kMxfp4 || kind.format->mode() == Mode::kMxfp8)
      for (size_t i = 0; i < host.scales.size(); ++i)
        host.scales[i] = static_cast<uint8_t>(i % 246);
    if (kind.format->mode() == Mode::kNvfp4)
      for (size_t i = 0; i < host.scales.size(); ++i) host.scales[i] = static_cast<uint8_t>(i);
    host.tensor_scale = 1.0f;
    const SumTree tree = SumTree::whole(columns);
    const DeviceMatrix matrix(host, leaves_of({0, columns}));
    const PackedWeight w = matrix.weight();
    std::vector<uint16_t> unit(static_cast<size_t>(columns * columns), 0);
    for (int64_t i = 0; i < columns; ++i) unit[static_cast<size_t>(i * columns + i)] = 0x3f80;
    const DeviceArray<uint16_t> x(unit);
    const ManyRowsActivations rows{x.data(), DType::kBF16, columns, columns};
    const auto values = host.values();
    for (const bool wgmma : {true, false}) {
      const auto found = result(columns * host.rows, [&](float* out) {
        const ManyRowsCall call{w, rows, out, device(), nullptr};
        const ManyRowsNode node{tree, 0, {}, LeafOrder::kTree};
        if (wgmma)
          many_rows_wgmma(call, node, {64, 1, 1});
        else
          many_rows_mma(call, node);
      });
      int wrong = 0;
      for (int64_t row = 0; row < host.rows; ++row) {
        for (int64_t column = 0; column < columns; ++column) {
          const float value = values[static_cast<size_t>(row * columns + column)];
          const float expected = to_float(to_bf16(value));
          const float is = found[static_cast<size_t>(column * host.rows + row)];
          // Affine: rounded once, to 8 bits. The CPU rounds scale times code to float32 before it
          // adds the bias, which matters where the two nearly cancel.
          const bool right = kind.exact()
                                 ? is == expected
                                 : std::abs(is - value) <= 0x1.001p-8f * std::abs(value) + 1e-6f;
          if (!right && ++wrong <= 5)
            ADD_FAILURE() << "row " << row << ", column " << column << ": " << is << " for "
                          << value << (wgmma ? " by wgmma" : " by mma");
        }
      }
      EXPECT_EQ(wrong, 0);
    }
  }
}

}  // namespace
}  // namespace strake::cuda
