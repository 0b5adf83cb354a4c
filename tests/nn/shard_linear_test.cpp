// shard_linear() with MLX's segments.
#include <gtest/gtest.h>

#include "io/expect_error.h"
#include "ranks.h"
#include "support/bits.h"
#include "support/weights.h"

namespace strake {
namespace {

TEST(ShardLinear, RowsOfUnequalSegmentsComeBackTogether) {
  // q, k and v in one matrix; counts; fractions.
  const Segments fused[] = {Segments::positions({11, 15}), Segments::count(2),
                            Segments::fractions({0.5, 0.75}), Segments::positions({1})};
  const Tensor bias = random_weight(3, {1, 20}).reshape({20});
  for (const int ranks : kRankCounts)
    on_ranks(ranks, [&](Context& context) {
      for (const WeightKind& kind : all_weight_kinds()) {
        SCOPED_TRACE(testing::Message() << kind.name << " on " << ranks);
        const int64_t in = kind.group();
        const Linear whole(kind.make(1, {20, in}), bias);
        const Tensor x = random_weight(2, {2, in});
        const Tensor expected = whole.forward(context, x, DType::kF32);
        for (const Segments& segments : fused)
          EXPECT_TRUE(same_bits(through_split_out(context, whole, x, segments), expected));
      }
    });
}

TEST(ShardLinear, SegmentsDecideWhichRowsARankHolds) {
  std::vector<float> rows;
  for (int row = 0; row < 12; ++row) rows.push_back(static_cast<float>(row));
  const Linear whole(tensor_of(rows, {12, 1}), tensor_of(rows, {12}));
  on_ranks(2, [&](Context& context) {
    const Linear part =
        shard_linear(whole, Sharding::kAllToSharded, context.group, Segments::positions({6, 8}));
    const std::vector<float> expected = context.group.rank() == 0
                                            ? std::vector<float>{0, 1, 2, 6, 8, 9}
                                            : std::vector<float>{3, 4, 5, 7, 10, 11};
    EXPECT_EQ(floats(*part.weight().dense()), expected);
    EXPECT_EQ(floats(*part.bias()), expected);
  });
}

TEST(ShardLinear, ColumnsOfSegmentsGiveTheSameBitsForEveryRankCount) {
  for (const WeightKind& kind : all_weight_kinds()) {
    SCOPED_TRACE(kind.name);
    const int64_t group = kind.group();
    const int64_t in = 8 * group;
    const Linear whole(kind.make(1, {5, in}));
    const Tensor x = random_weight(2, {2, in});
    for (const Segments& segments : {Segments::positions({5 * group, 6 * group}),
                                     Segments::count(2), Segments::fractions({0.25, 0.875})}) {
      const Tensor expected = on_one_rank(
          [&](Context& context) { return through_split_in(context, whole, x, segments); });
      ASSERT_NO_FATAL_FAILURE(expect_product(expected, x, values_of(whole.weight())));
      for (const int ranks : {2, 3, 5, 8})
        on_ranks(ranks, [&](Context& context) {
          EXPECT_TRUE(same_bits(through_split_in(context, whole, x, segments), expected)) << ranks;
        });
    }
  }
}

TEST(ShardLinear, KeepsTheFormatAndTheOriginal) {
  for (const WeightKind& kind : all_weight_kinds()) {
    SCOPED_TRACE(kind.name);
    const Linear whole(kind.make(1, {6, 4 * kind.group()}));
    const Tensor before = values_of(whole.weight());
    on_ranks(3, [&](Context& context) {
      for (const Sharding sharding :
           {Sharding::kNone, Sharding::kAllToSharded, Sharding::kShardedToAll}) {
        const Linear part = shard_linear(whole, sharding, context.group);
        EXPECT_EQ(part.sharding(), sharding);
        EXPECT_EQ(part.weight().format(), kind.format);
        EXPECT_EQ(part.input_dims(), whole.input_dims());
        EXPECT_EQ(part.output_dims(), whole.output_dims());
      }
      EXPECT_EQ(shard_linear(whole, Sharding::kAllToSharded, context.group).weight().shape(),
                (Shape{2, 4 * kind.group()}));
      // Four groups over three ranks are 2, 1 and 1; a dense weight can be cut anywhere.
      const Partition inputs = division(4 * kind.group(), kind.format ? kind.group() : 1,
                                        Segments::count(1), context.group.size());
      EXPECT_EQ(shard_linear(whole, Sharding::kShardedToAll, context.group).weight().shape(),
                (Shape{6, inputs.size(context.group.rank())}));
    });
    EXPECT_TRUE(same_bits(values_of(whole.weight()), before));
    EXPECT_EQ(whole.sharding(), Sharding::kNone);
  }
}

TEST(ShardLinear, RefusesSegmentsThatCutAGroup) {
  const auto refused = [](const std::string& part, const Linear& layer, Sharding sharding,
                          const Segments& segments) {
    const auto group = make_solo_group();
    expect_error(ErrorKind::kUsage, part, [&] { shard_linear(layer, sharding, *group, segments); });
  };
  const Linear quantized(
      quantize(random_weight(1, {5, 512}), Format::parse("affine", 4, 64), Encoder::kMlx));
  const Linear dense(random_weight(1, {5, 512}));
  // MLX would apply these positions to words and groups, and multiply the wrong columns.
  refused("shard_linear: inputs: segment cut 100 must be a multiple of 64", quantized,
          Sharding::kShardedToAll, Segments::positions({100}));
  refused("shard_linear: inputs: segment fraction 0.29", quantized, Sharding::kShardedToAll,
          Segments::fractions({0.29}));
  refused("shard_linear: inputs: segment cut 32 must be a multiple of 64", quantized,
          Sharding::kShardedToAll, Segments::count(16));
  refused("shard_linear: inputs: segment cut 512 expected between 0 and 512", dense,
          Sharding::kShardedToAll, Segments::positions({512}));
  refused("shard_linear: outputs: segment cut 7 expected between 0 and 5", quantized,
          Sharding::kAllToSharded, Segments::positions({7}));
  refused("shard_linear: outputs: 5 elements do not divide into 2", dense, Sharding::kAllToSharded,
          Segments::count(2));
  const auto solo = make_solo_group();
  EXPECT_NO_THROW(
      shard_linear(quantized, Sharding::kShardedToAll, *solo, Segments::positions({256})));
  EXPECT_NO_THROW(shard_linear(dense, Sharding::kShardedToAll, *solo, Segments::positions({100})));
}

TEST(ShardLinear, RefusesALayerThatIsDividedAlready) {
  const Linear whole(random_weight(1, {6, 64}));
  on_ranks(2, [&](Context& context) {
    for (const Sharding first : {Sharding::kAllToSharded, Sharding::kShardedToAll})
      for (const Sharding second :
           {Sharding::kNone, Sharding::kAllToSharded, Sharding::kShardedToAll})
        expect_error(ErrorKind::kUsage, "shard_linear: a whole layer expected, found ", [&] {
          shard_linear(shard_linear(whole, first, context.group), second, context.group);
        });
  });
}

}  // namespace
}  // namespace strake
