// Sums over the experts of each token, against float64, and however they are divided.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "io/expect_error.h"
#include "strake/ops/backend.h"
#include "support/bits.h"
#include "support/weights.h"

namespace strake {
namespace {

constexpr int64_t kExperts = 7;
constexpr int64_t kOutputs = 19;

struct Part {
  int64_t begin;
  int64_t end;
};

// Tokens of which each has so many experts; not all experts are used, and none comes in order.
struct Case {
  int64_t tokens;
  int64_t chosen;
  std::vector<int32_t> experts, of_tokens;
  std::vector<float> weights;

  Case(int64_t count, int64_t experts_of_each) : tokens(count), chosen(experts_of_each) {
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t k = 0; k < chosen; ++k) {
        experts.push_back(static_cast<int32_t>((5 * t + 4 * k + 3) % (kExperts - 1)));
        of_tokens.push_back(static_cast<int32_t>(t));
        weights.push_back(0.125f * static_cast<float>(k + 1) - 0.3f);
      }
  }
  int64_t rows() const { return tokens * chosen; }
  Mixture mixture(Mixture::Axis axis) const { return {experts, of_tokens, weights, tokens, axis}; }
};

SumTree tree_of(std::vector<int64_t> cuts) { return SumTree(cuts); }

void expect_mixture(const Tensor& y, const Case& mix, const Tensor& x, const Tensor& w) {
  const int64_t in = x.shape()[1];
  const auto a = floats(x), b = floats(w), found = floats(y);
  ASSERT_EQ(y.shape(), (Shape{mix.tokens, kOutputs}));
  for (int64_t t = 0; t < mix.tokens; ++t)
    for (int64_t n = 0; n < kOutputs; ++n) {
      double sum = 0, magnitude = 0;
      for (int64_t k = 0; k < mix.chosen; ++k) {
        const int64_t row = t * mix.chosen + k;
        for (int64_t i = 0; i < in; ++i) {
          const int64_t expert = mix.experts[static_cast<size_t>(row)];
          const double term = double{mix.weights[static_cast<size_t>(row)]} *
                              double{a[static_cast<size_t>(row * in + i)]} *
                              double{b[static_cast<size_t>((expert * kOutputs + n) * in + i)]};
          sum += term;
          magnitude += std::abs(term);
        }
      }
      const double bound = static_cast<double>(in + mix.chosen + 16) * 0x1p-24 * magnitude;
      ASSERT_NEAR(found[static_cast<size_t>(t * kOutputs + n)], sum, bound) << t << ", " << n;
    }
}

// x and w of the same elements for every division.
struct Operands {
  Tensor x;
  Weight w;
  int64_t unit;

  Operands(const WeightKind& kind, const Case& mix, DType dtype)
      : x(random_weight(1, {mix.rows(), 6 * kind.group()}).to(dtype)),
        w(kind.make(2, {kExperts, kOutputs, 6 * kind.group()})),
        unit(kind.group()) {}
};

const int kRoot[] = {0};

Tensor whole(Backend& backend, const Operands& operands, const Case& mix, Mixture::Axis axis,
             const SumTree& tree) {
  return backend.mix_matmul(operands.x, operands.w, mix.mixture(axis), PartialSums{tree, kRoot})
      .reshape({mix.tokens, kOutputs});
}

SumTree input_tree(int64_t unit) { return tree_of({0, unit, 3 * unit, 4 * unit, 6 * unit}); }
SumTree expert_tree() { return tree_of({0, 2, 3, 5, kExperts}); }

TEST(Mixture, EqualsFloat64WithEitherAxis) {
  const auto backend = make_backend("cpu", {.threads = 2});
  for (const WeightKind& kind : all_weight_kinds())
    for (const int64_t tokens : {1, 3, 40})
      for (const DType dtype : {DType::kF32, DType::kBF16}) {
        SCOPED_TRACE(testing::Message()
                     << kind.name << ", " << tokens << " tokens of " << to_string(dtype));
        const Case mix(tokens, 3);
        const Operands operands(kind, mix, dtype);
        const Tensor w = values_of(operands.w);
        for (const Mixture::Axis axis : {Mixture::Axis::kInputs, Mixture::Axis::kExperts}) {
          const SumTree tree =
              axis == Mixture::Axis::kInputs ? input_tree(operands.unit) : expert_tree();
          ASSERT_NO_FATAL_FAILURE(
              expect_mixture(whole(*backend, operands, mix, axis, tree), mix, operands.x, w));
        }
      }
}

// Parts of the inputs, and parts of the experts, finish to the bits of the whole.
TEST(Mixture, PartsHaveTheBitsOfTheWhole) {
  const auto backend = make_backend("cpu", {.threads = 1});
  for (const WeightKind& kind : all_weight_kinds())
    for (const int64_t tokens : {1, 40}) {
      SCOPED_TRACE(testing::Message() << kind.name << ", " << tokens);
      const Case mix(tokens, 3);
      const Operands operands(kind, mix, DType::kBF16);
      const SumTree inputs = input_tree(operands.unit);
      std::vector<Tensor> pieces;
      std::vector<int> nodes;
      for (const Part range : {Part{0, 3}, Part{3, 4}, Part{4, 6}}) {
        const auto cover = inputs.cover(range.begin * operands.unit, range.end * operands.unit);
        const auto part = [&](const auto& whole, int axis) {
          return whole.slice(axis, range.begin * operands.unit, range.end * operands.unit);
        };
        pieces.push_back(backend->mix_matmul(part(operands.x, 1), part(operands.w, 2),
                                             mix.mixture(Mixture::Axis::kInputs),
                                             PartialSums{inputs, cover}));
        nodes.insert(nodes.end(), cover.begin(), cover.end());
      }
      EXPECT_TRUE(
          same_bits(backend->finish_sums(concatenate(pieces, 0), PartialSums{inputs, nodes}),
                    whole(*backend, operands, mix, Mixture::Axis::kInputs, inputs)));

      const SumTree experts = expert_tree();
      pieces.clear();
      nodes.clear();
      for (const Part range : {Part{0, 3}, Part{3, 5}, Part{5, kExperts}}) {
        std::vector<Tensor> x{operands.x.slice(0, 0, 0)};
        Case own(0, 3);
        for (size_t row = 0; row < mix.experts.size(); ++row) {
          if (mix.experts[row] < range.begin || mix.experts[row] >= range.end) continue;
          x.push_back(
              operands.x.slice(0, static_cast<int64_t>(row), static_cast<int64_t>(row) + 1));
          own.experts.push_back(mix.experts[row] - static_cast<int32_t>(range.begin));
          own.of_tokens.push_back(mix.of_tokens[row]);
          own.weights.push_back(mix.weights[row]);
        }
        own.tokens = tokens;
        const auto cover = experts.cover(range.begin, range.end);
        pieces.push_back(
            backend->mix_matmul(concatenate(x, 0), operands.w.slice(0, range.begin, range.end),
                                own.mixture(Mixture::Axis::kExperts), PartialSums{experts, cover}));
        nodes.insert(nodes.end(), cover.begin(), cover.end());
      }
      EXPECT_TRUE(
          same_bits(backend->finish_sums(concatenate(pieces, 0), PartialSums{experts, nodes}),
                    whole(*backend, operands, mix, Mixture::Axis::kExperts, experts)));
    }
}

TEST(Mixture, ATokenHasTheSameBitsAloneOnAnyThreadsAndPrepared) {
  for (const WeightKind& kind : all_weight_kinds())
    for (const Mixture::Axis axis : {Mixture::Axis::kInputs, Mixture::Axis::kExperts}) {
      SCOPED_TRACE(kind.name);
      const auto one = make_backend("cpu", {.threads = 1});
      const Case mix(40, 3);
      const Operands operands(kind, mix, DType::kBF16);
      const SumTree tree =
          axis == Mixture::Axis::kInputs ? input_tree(operands.unit) : expert_tree();
      const Tensor y = whole(*one, operands, mix, axis, tree);
      for (const int threads : {2, 7}) {
        const auto backend = make_backend("cpu", {.threads = threads});
        Operands prepared = operands;
        prepared.w = backend->prepare(operands.w);
        EXPECT_TRUE(same_bits(whole(*backend, prepared, mix, axis, tree), y));
      }
      for (const int64_t token : {0, 23}) {
        Case alone(0, 3);
        for (int64_t row = token * 3; row < token * 3 + 3; ++row) {
          alone.experts.push_back(mix.experts[static_cast<size_t>(row)]);
          alone.of_tokens.push_back(0);
          alone.weights.push_back(mix.weights[static_cast<size_t>(row)]);
        }
        alone.tokens = 1;
        Operands part = operands;
        part.x = operands.x.slice(0, token * 3, token * 3 + 3);
        EXPECT_TRUE(same_bits(whole(*one, part, alone, axis, tree), y.slice(0, token, token + 1)));
      }
    }
}

TEST(Mixture, TokensWithoutExpertsAreZero) {
  const auto backend = make_backend("cpu", {});
  const Weight w = random_weight(1, {kExperts, kOutputs, 64});
  const SumTree tree = expert_tree();
  const Tensor y =
      backend->mix_matmul(random_weight(2, {0, 64}), w, {{}, {}, {}, 3, Mixture::Axis::kExperts},
                          PartialSums{tree, kRoot});
  EXPECT_TRUE(same_bits(y, Tensor::zeros(DType::kF32, {1, 3, kOutputs})));
}

TEST(Mixture, DispatchesTheRowsOfExpertsThatAreHeld) {
  const auto backend = make_backend("cpu", {});
  const std::vector<int32_t> experts{1, 3, 0, 4, 3, 5};
  const std::vector<float> weights{0.5f, 1.5f, 2.5f, 3.5f, 4.5f, 5.5f};
  const Routing routing{Tensor::from<int32_t>(experts, {3, 2}),
                        Tensor::from<float>(weights, {3, 2})};
  const HeldRows held[] = {{3, 5, 0, 0}, {0, 1, 0, 2}};
  const auto rows = backend->dispatch(routing, held, [](const auto&) {});
  const auto [lhs, rhs, use] = rows->indices();
  EXPECT_EQ(std::vector(lhs.begin(), lhs.end()), (std::vector<int32_t>{0, 1, 1, 2}));
  EXPECT_EQ(std::vector(rhs.begin(), rhs.end()), (std::vector<int32_t>{0, 2, 1, 0}));
  const Mixture mixture = rows->mixture(Mixture::Axis::kExperts);
  EXPECT_EQ(mixture.count, 3);
  EXPECT_EQ(std::vector(mixture.weights.begin(), mixture.weights.end()),
            (std::vector<float>{1.5f, 2.5f, 3.5f, 4.5f}));
  std::vector<float> spread(18);
  spread[1] = 0.5f, spread[3] = 1.5f;
  spread[6 + 0] = 2.5f, spread[6 + 4] = 3.5f;
  spread[12 + 3] = 4.5f, spread[12 + 5] = 5.5f;
  EXPECT_EQ(floats(backend->spread_weights(routing, 6)), spread);
}

TEST(Mixture, RefusesWhatDoesNotFit) {
  const auto backend = make_backend("cpu", {});
  const Case mix(2, 3);
  const Weight w = random_weight(1, {kExperts, kOutputs, 64});
  const Tensor x = random_weight(2, {6, 64});
  const SumTree tree = tree_of({0, 64});
  const auto refused = [&](const std::string& part, const Case& bad, Mixture::Axis axis) {
    expect_error(ErrorKind::kUsage, "mix_matmul: " + part, [&] {
      backend->mix_matmul(x, w, bad.mixture(axis), PartialSums{tree, kRoot});
    });
  };
  refused("sums over the experts of [7, 19, 64] expected, found 64", mix, Mixture::Axis::kExperts);
  Case bad = mix;
  bad.weights.pop_back();
  refused("experts, tokens and weights of 6 rows expected, found 6, 6 and 5", bad,
          Mixture::Axis::kInputs);
  bad = mix;
  bad.experts[2] = kExperts;
  refused("experts below 7 expected, found 7", bad, Mixture::Axis::kInputs);
  bad = mix;
  bad.of_tokens[2] = 2;
  refused("tokens below 2 expected, found 2", bad, Mixture::Axis::kInputs);
}

}  // namespace
}  // namespace strake
