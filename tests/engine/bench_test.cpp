#include "engine/bench.h"

#include <gtest/gtest.h>

#include <optional>

#include "engine/plan.h"
#include "io/random_weights.h"
#include "models/shapes.h"
#include "strake/comm/thread_group.h"

namespace strake {
namespace {

// Rank 0's result.
BenchResult measure(int ranks, const ModelConfig& config, const BenchOptions& options) {
  std::optional<BenchResult> result;
  run_ranks(ranks, {}, [&](Group& group) {
    auto mine = bench(group, Shares::equal(ranks),
                      std::make_unique<RandomWeights>(config, Device::cpu()), {}, options);
    if (group.rank() == 0) result = std::move(mine);
  });
  return *result;
}

TEST(Bench, RandomModelsHaveTheSameLogitsOnEveryNumberOfRanks) {
  const BenchOptions options{{5, 40}, 3, 1};
  for (const auto& format : {std::optional<Format>(), std::optional(Format::parse("mxfp8")),
                             std::optional(Format::parse("affine", 4, 32))}) {
    const auto config = shape_config("smollm2-135m", {.layers = 1}, format);
    const BenchResult one = measure(1, config, options);
    ASSERT_EQ(one.points.size(), 2u);
    EXPECT_NE(one.points[0].logits_hash, one.points[1].logits_hash);
    for (const int ranks : {2, 3}) {
      const BenchResult several = measure(ranks, config, options);
      for (size_t i = 0; i < 2; ++i)
        EXPECT_EQ(several.points[i].logits_hash, one.points[i].logits_hash) << ranks;
    }
  }
}

TEST(Bench, CountsWhatATokenReadsAndComputes) {
  const auto config = shape_config("smollm2-135m", {.layers = 2}, Format::parse("mxfp8"));
  const Plan plan =
      make_plan([&](Device device) { return std::make_unique<RandomWeights>(config, device); },
                Shares::equal(2));
  const BenchResult result = measure(2, config, {{8}, 2, 1});
  EXPECT_EQ(result.bytes_per_rank, plan.bytes_per_rank());
  // The embedding is the output layer too: a token reads all there is.
  EXPECT_EQ(result.bytes_per_token, result.bytes_per_rank[0] + result.bytes_per_rank[1]);
  const int64_t layer = 576 * 576 * 2 + 576 * 192 * 2 + 576 * 1536 * 3;
  EXPECT_EQ(result.operations_per_token, 2 * 2 * layer);
}

TEST(Bench, SharesFollowFromWhatWasMeasured) {
  const BenchResult result =
      measure(2, shape_config("smollm2-135m", {.layers = 1}, Format::parse("mxfp4")), {{16}, 4, 2});
  const BenchPoint& point = result.points.front();
  EXPECT_EQ(result.ranks, 2);
  EXPECT_EQ(point.context, 16);
  EXPECT_GT(point.prefill, 0);
  EXPECT_GT(point.first_token, 0);
  EXPECT_GT(point.step_collective, 0);
  EXPECT_LE(point.step_collective, point.step);
  EXPECT_GT(point.collectives, 2);  // o and down at least
  EXPECT_GT(result.read_bandwidth, 0);
  EXPECT_GT(result.adds_per_cycle.value(), 0);
  EXPECT_DOUBLE_EQ(result.prefill_rate(point), 16 / point.prefill);
  EXPECT_DOUBLE_EQ(result.decode_rate(point) * point.step, 1);
  EXPECT_DOUBLE_EQ(result.bandwidth_share(point) * result.read_bandwidth * point.step,
                   result.bytes_per_token);
  EXPECT_DOUBLE_EQ(
      result.product_share(point).value() * result.product_rate.value() * point.prefill,
      16 * result.operations_per_token);
}

}  // namespace
}  // namespace strake
