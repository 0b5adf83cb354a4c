// Which experts a token goes to: every rule, ties, groups and corrections.
#include "nn/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "io/checkpoint_builder.h"
#include "io/expect_error.h"
#include "ranks.h"
#include "support/weights.h"

namespace strake {
namespace {

using Scores = RoutingRule::Scores;
using testing::ElementsAre;
using testing::FloatNear;

struct Routed {
  std::vector<int32_t> experts;
  std::vector<float> weights;

  explicit Routed(const Routing& routing) {
    const auto all = routing.experts.data<int32_t>();
    experts.assign(all.begin(), all.end());
    weights = floats(routing.weights);
  }
};

Routed route(const RoutingRule& rule, const Tensor& logits, std::span<const float> correction) {
  return Routed(make_backend("cpu", {})->route(logits, rule, correction));
}

Routed route_row(const RoutingRule& rule, const std::vector<float>& logits,
                 const std::vector<float>& correction = {}) {
  return route(rule, tensor_of(logits, {1, std::ssize(logits)}), correction);
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

auto near(double x) { return FloatNear(static_cast<float>(x), static_cast<float>(x * 3e-7)); }

TEST(Router, WeighsBySoftmaxOverAll) {
  const double sum = std::exp(1.0) + std::exp(3.0) + std::exp(-2.0) + std::exp(2.0);
  RoutingRule rule{.experts = 4, .chosen = 2, .scores = Scores::kSoftmax};
  Routed routing = route_row(rule, {1, 3, -2, 2});
  EXPECT_THAT(routing.experts, ElementsAre(1, 3));
  EXPECT_THAT(routing.weights, ElementsAre(near(std::exp(3.0) / sum), near(std::exp(2.0) / sum)));
  rule.weights = RoutingRule::Weights::kNormalized;
  rule.scale = 2.5f;
  routing = route_row(rule, {1, 3, -2, 2});
  EXPECT_THAT(routing.weights, ElementsAre(near(2.5 * sigmoid(1)), near(2.5 * sigmoid(-1))));
}

TEST(Router, WeighsBySoftmaxOverTheChosen) {
  const RoutingRule rule{.experts = 4, .chosen = 2, .scores = Scores::kSoftmaxOfChosen};
  const Routed routing = route_row(rule, {300, -300, 302, 3});
  EXPECT_THAT(routing.experts, ElementsAre(0, 2));
  EXPECT_THAT(routing.weights, ElementsAre(near(sigmoid(-2)), near(sigmoid(2))));
}

TEST(Router, ChoosesByCorrectedScoresAndWeighsByPlainOnes) {
  const RoutingRule rule{.experts = 4, .chosen = 2, .scores = Scores::kSigmoid};
  const Routed routing = route_row(rule, {1, 3, -2, 2}, {0.5f, -1, 0.75f, 0});
  EXPECT_THAT(routing.experts, ElementsAre(0, 3));
  EXPECT_THAT(routing.weights, ElementsAre(near(sigmoid(1)), near(sigmoid(2))));
}

TEST(Router, TakesTheLowestOfEqualExperts) {
  for (const Scores scores : {Scores::kSoftmax, Scores::kSoftmaxOfChosen, Scores::kSigmoid}) {
    const RoutingRule rule{.experts = 6, .chosen = 3, .scores = scores};
    EXPECT_THAT(route_row(rule, {1, 2, 2, 1, 2, 2}).experts, ElementsAre(1, 2, 4));
    EXPECT_THAT(route_row(rule, {0, 0, 0, 0, 0, 0}).experts, ElementsAre(0, 1, 2));
    EXPECT_THAT(route_row(rule, {-1, -1, -1, -1, -1, 5}).experts, ElementsAre(0, 1, 5));
  }
}

TEST(Router, ChoosesFromTheBestGroups) {
  // Sums of the two best: 0.5, 1.1, 1.0. The best expert stands in the group that drops out.
  const std::vector<float> scores{0.45f, 0.05f, 0.0f, 0.6f, 0.5f, 0.1f, 0.95f, 0.05f, 0.0f};
  std::vector<float> logits;
  for (const float score : scores) logits.push_back(std::log(score / (1 - score)));
  RoutingRule rule{
      .experts = 9, .chosen = 2, .scores = Scores::kSigmoid, .groups = 3, .chosen_groups = 1};
  EXPECT_THAT(route_row(rule, logits).experts, ElementsAre(3, 4));
  rule.chosen_groups = 2;
  EXPECT_THAT(route_row(rule, logits).experts, ElementsAre(3, 6));
  rule.chosen_groups = 1;
  rule.group_terms = 1;
  EXPECT_THAT(route_row(rule, logits).experts, ElementsAre(6, 7));
  // Equal groups: the first.
  EXPECT_THAT(route_row(rule, std::vector<float>(9, 1.0f)).experts, ElementsAre(0, 1));
}

// Experts of other groups count as 0, and are better than those with negative corrected scores.
TEST(Router, OtherGroupsCountAsZero) {
  const RoutingRule rule{
      .experts = 4, .chosen = 2, .scores = Scores::kSigmoid, .groups = 2, .chosen_groups = 1};
  EXPECT_THAT(route_row(rule, {0, 0, 0, 0}, {-2, -2, 2, -0.75f}).experts, ElementsAre(0, 2));
}

TEST(Router, ExtremeLogitsGiveFiniteWeights) {
  for (const Scores scores : {Scores::kSoftmax, Scores::kSoftmaxOfChosen, Scores::kSigmoid}) {
    const RoutingRule rule{
        .experts = 3, .chosen = 2, .scores = scores, .weights = RoutingRule::Weights::kNormalized};
    for (const float size : {1e-30f, 80.0f, 800.0f, 1e30f}) {
      const Routed routing = route_row(rule, {-size, size, -size});
      EXPECT_THAT(routing.experts, ElementsAre(0, 1));
      EXPECT_NEAR(routing.weights[0] + routing.weights[1], 1, 1e-6) << size;
    }
    EXPECT_THAT(route_row(rule, {-1e30f, -1e30f, -1e30f}).experts, ElementsAre(0, 1));
  }
}

TEST(Router, ExponentialsAreThoseOfFloat64) {
  const RoutingRule rule{.experts = 1, .chosen = 1, .scores = Scores::kSigmoid};
  for (float x = -80; x < 80; x += 0.37f)
    EXPECT_FLOAT_EQ(route_row(rule, {x}).weights[0], static_cast<float>(sigmoid(x))) << x;
}

TEST(Router, RefusesWhatIsNotANumber) {
  const RoutingRule rule{.experts = 2, .chosen = 1, .scores = Scores::kSoftmax};
  expect_error(ErrorKind::kUsage, "router: a logit is not a number", [&] {
    route_row(rule, {1, std::numeric_limits<float>::quiet_NaN()});
  });
}

TEST(Router, RefusesRulesThatCannotBe) {
  const auto refused = [](const std::string& part, const RoutingRule& rule) {
    expect_error(ErrorKind::kCheckpoint, part, [&] { rule.check("gate"); });
  };
  refused("gate: at most 4 experts a token expected, found 5",
          {.experts = 4, .chosen = 5, .scores = Scores::kSigmoid});
  refused("gate: 6 experts in equal groups of 2 and more expected, found 4",
          {.experts = 6, .chosen = 1, .scores = Scores::kSigmoid, .groups = 4});
  refused("gate: 6 experts in equal groups of 2 and more expected, found 6",
          {.experts = 6, .chosen = 1, .scores = Scores::kSigmoid, .groups = 6});
  refused("gate: at most 3 groups with 3 experts expected, found 1",
          {.experts = 6, .chosen = 3, .scores = Scores::kSigmoid, .groups = 3});
}

TEST(Router, LoadsEveryKindOfGate) {
  const Tensor weight = random_weight(1, {4, 64}).to(DType::kBF16);
  const Tensor bias = tensor_of({0, 0, 8, 0}, {4});
  const Tensor x = random_weight(2, {3, 64});
  CheckpointBuilder builder;
  builder.add("mlp.gate.weight", weight);
  builder.add("mlp.router.weight", weight);
  builder.add("mlp.router.bias", bias);
  builder.add("mlp.gate.e_score_correction_bias", bias);
  const RoutingRule rule{.experts = 4, .chosen = 2, .scores = Scores::kSigmoid};
  on_ranks(1, [&](Context& context) {
    Checkpoint checkpoint = builder.open();
    const LayerLoader loader(checkpoint, Shares::equal(1), 0);
    const Tensor logits = context.backend.matmul(x, weight, SumTree::whole(64));
    const auto run = [&](const RouterConfig& config) {
      return Routed(Router(loader.at("mlp"), config).forward(context, x));
    };
    const Routed plain = route(rule, logits, {});
    for (const Gate kind : {Gate::kLinear, Gate::kRouter, Gate::kTensor})
      EXPECT_EQ(run({.hidden = 64, .rule = rule, .kind = kind}).weights, plain.weights);
    const Routed shifted = route(rule, context.backend.add(logits, bias), {});
    EXPECT_EQ(run({.hidden = 64, .rule = rule, .gate = "router", .bias = Bias::kPresent}).weights,
              shifted.weights);
    const Routed corrected = route(rule, logits, bias.data<float>());
    EXPECT_NE(corrected.experts, plain.experts);
    const Routed found = run({.hidden = 64,
                              .rule = rule,
                              .kind = Gate::kTensor,
                              .correction = "gate.e_score_correction_bias"});
    EXPECT_EQ(found.experts, corrected.experts);
    EXPECT_EQ(found.weights, corrected.weights);
    EXPECT_EQ(loader.modules()[1].kind, ModuleKind::kRouter);
  });
}

}  // namespace
}  // namespace strake
