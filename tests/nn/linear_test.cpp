// Linear layers, whole and divided: the same bits for every number of ranks.
#include "strake/nn/linear.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "io/expect_error.h"
#include "nn/projections.h"
#include "ranks.h"
#include "strake/nn/rms_norm.h"
#include "support/bits.h"
#include "support/weights.h"

namespace strake {
namespace {

TEST(Linear, MultipliesAddsTheBiasAndRoundsOnce) {
  for (const WeightKind& kind : all_weight_kinds()) {
    SCOPED_TRACE(kind.name);
    const int64_t in = 2 * kind.group();
    const Weight w = kind.make(1, {5, in});
    const Tensor bias = random_weight(3, {1, 5}).reshape({5}).to(DType::kBF16);
    const Tensor x = random_weight(2, {3, in}).to(DType::kBF16);
    on_ranks(1, [&](Context& context) {
      const Tensor y = Linear(w).forward(context, x, DType::kF32);
      ASSERT_NO_FATAL_FAILURE(expect_product(y, x, values_of(w)));
      const Tensor shifted = context.backend.add(y, bias.to(DType::kF32));
      const Linear biased(w, bias);
      EXPECT_TRUE(same_bits(biased.forward(context, x, DType::kF32), shifted));
      EXPECT_TRUE(same_bits(biased.forward(context, x, DType::kBF16), shifted.to(DType::kBF16)));
      EXPECT_TRUE(same_bits(biased.forward(context, x, DType::kF16), shifted.to(DType::kF16)));
    });
  }
}

// Seven outputs: with eight ranks, one has none.
TEST(Linear, SplitOutGivesTheBitsOfTheWholeLayer) {
  const Tensor bias = random_weight(3, {1, 7}).reshape({7});
  for (const int ranks : kRankCounts)
    on_ranks(ranks, [&](Context& context) {
      for (const WeightKind& kind : all_weight_kinds()) {
        SCOPED_TRACE(testing::Message() << kind.name << " on " << ranks);
        const int64_t in = 3 * kind.group();
        const Weight w = kind.make(1, {7, in});
        const Tensor x = random_weight(2, {3, in});
        for (const Linear& whole : {Linear(w), Linear(w, bias)})
          EXPECT_TRUE(same_bits(through_split_out(context, whole, x),
                                whole.forward(context, x, DType::kF32)));
      }
    });
}

TEST(Linear, ProjectionsOfOneInputAreThoseOfEachLayer) {
  const WeightKind bf16{"bf16", {}, DType::kBF16};
  for (const WeightKind& kind : all_weight_kinds())
    for (const int ranks : {1, 2})
      on_ranks(ranks, [&](Context& context) {
        SCOPED_TRACE(kind.name);
        const int64_t in = 2 * kind.group();
        const Tensor x = random_weight(2, {3, in}).to(DType::kBF16);
        const Linear whole(kind.make(1, {5, in}));
        const Linear biased(kind.make(3, {7, in}), random_weight(4, {1, 7}).reshape({7}));
        const Linear part =
            shard_linear(Linear(bf16.make(5, {6, in})), Sharding::kAllToSharded, context.group);
        const auto [a, b, c] = project(
            context, x, {{whole, DType::kF32}, {biased, DType::kBF16}, {part, DType::kF16}});
        EXPECT_TRUE(same_bits(a, whole.forward(context, x, DType::kF32)));
        EXPECT_TRUE(same_bits(b, biased.forward(context, x, DType::kBF16)));
        EXPECT_TRUE(same_bits(c, part.forward(context, x, DType::kF16)));
      });
}

TEST(Linear, ProjectionsHaveWholeInputs) {
  on_ranks(2, [&](Context& context) {
    const Linear part =
        shard_linear(Linear(random_weight(1, {4, 64})), Sharding::kShardedToAll, context.group);
    expect_error(ErrorKind::kUsage, "whole inputs", [&] { part.product(DType::kF32); });
  });
}

// Six groups: with eight ranks, two have none.
TEST(Linear, SplitInGivesTheSameBitsForEveryRankCountAndAddsTheBiasOnce) {
  const Tensor bias = random_weight(3, {1, 5}).reshape({5});
  for (const WeightKind& kind : all_weight_kinds()) {
    SCOPED_TRACE(kind.name);
    const int64_t in = 6 * kind.group();
    const Weight w = kind.make(1, {5, in});
    const Tensor x = random_weight(2, {3, in});
    const Tensor plain =
        on_one_rank([&](Context& context) { return through_split_in(context, Linear(w), x); });
    ASSERT_NO_FATAL_FAILURE(expect_product(plain, x, values_of(w)));
    const Tensor biased =
        on_one_rank([&](Context& context) { return context.backend.add(plain, bias); });
    for (const int ranks : kRankCounts)
      on_ranks(ranks, [&](Context& context) {
        EXPECT_TRUE(same_bits(through_split_in(context, Linear(w), x), plain)) << ranks;
        EXPECT_TRUE(same_bits(through_split_in(context, Linear(w, bias), x), biased)) << ranks;
      });
  }
}

// Passes everything on and counts one kind of call.
class CountingGroup final : public Group {
 public:
  explicit CountingGroup(Group& group) : group_(group) {}

  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  void all_gather(std::span<const std::byte> mine, std::span<std::byte> all,
                  std::span<const int64_t> counts) override {
    group_.all_gather(mine, all, counts);
  }
  void all_to_all(std::span<const std::byte> send, std::span<const int64_t> send_counts,
                  std::span<std::byte> receive, std::span<const int64_t> receive_counts) override {
    ++all_to_all_calls;
    group_.all_to_all(send, send_counts, receive, receive_counts);
  }
  void broadcast(std::span<std::byte> bytes, int root) override { group_.broadcast(bytes, root); }
  void barrier() override { group_.barrier(); }
  void abort(std::string_view reason, int exit_code) noexcept override {
    group_.abort(reason, exit_code);
  }

  int all_to_all_calls = 0;

 private:
  Group& group_;
};

// 80 rows of 511 outputs are 160 KiB a node, so any two nodes are a long message. Row by row it is
// a short one.
TEST(Linear, LongMessagesGiveTheBitsOfShortOnes) {
  constexpr int64_t kRows = 80;
  for (const WeightKind& kind :
       {WeightKind{"mxfp8", Format::parse("mxfp8")}, WeightKind{"bf16", {}, DType::kBF16}}) {
    const Weight w = kind.make(1, {511, 160});
    const Tensor x = random_weight(2, {kRows, 160});
    const Tensor expected =
        on_one_rank([&](Context& context) { return through_split_in(context, Linear(w), x); });
    for (const int ranks : kRankCounts)
      on_ranks(ranks, [&](Context& context) {
        SCOPED_TRACE(testing::Message() << kind.name << " on " << ranks);
        CountingGroup group(context.group);
        Context counting{context.backend, group, DType::kF32};
        EXPECT_TRUE(same_bits(through_split_in(counting, Linear(w), x), expected));
        EXPECT_EQ(group.all_to_all_calls, ranks == 1 ? 0 : 1);
        for (const int64_t row : {0, 41, 79})
          EXPECT_TRUE(same_bits(through_split_in(counting, Linear(w), x.slice(0, row, row + 1)),
                                expected.slice(0, row, row + 1)));
        EXPECT_EQ(group.all_to_all_calls, ranks == 1 ? 0 : 1);
      });
  }
}

// Gathers the pieces of a sum and adds them up, as the interface says.
class SummingGroup final : public Group {
 public:
  explicit SummingGroup(Group& group) : group_(group) {}

  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  void all_gather(std::span<const std::byte>, std::span<std::byte>,
                  std::span<const int64_t>) override {
    FAIL() << "pieces are summed";
  }
  bool gather_sum(std::span<const std::span<const std::byte>> mine, std::span<std::byte> sums,
                  std::span<const int> pieces, std::span<const Merge> merges) override {
    const auto bytes = std::ssize(sums);
    std::vector<int64_t> counts;
    for (const int count : pieces) counts.push_back(count * bytes);
    std::vector<float> all(static_cast<size_t>(
        std::accumulate(counts.begin(), counts.end(), int64_t{0}) / int64_t{sizeof(float)}));
    std::vector<std::byte> joined;
    for (const auto piece : mine) joined.insert(joined.end(), piece.begin(), piece.end());
    group_.all_gather(joined, std::as_writable_bytes(std::span(all)), counts);
    const size_t elements = sums.size() / sizeof(float);
    const auto piece = [&](int index) {
      return all.data() + static_cast<size_t>(index) * elements;
    };
    for (const Merge& merge : merges)
      for (size_t i = 0; i < elements; ++i) piece(merge.into)[i] += piece(merge.from)[i];
    std::memcpy(sums.data(), piece(merges.empty() ? 0 : merges.back().into), sums.size());
    ++sums_;
    return true;
  }
  int sums() const { return sums_; }
  void all_to_all(std::span<const std::byte>, std::span<const int64_t>, std::span<std::byte>,
                  std::span<const int64_t>) override {
    FAIL() << "messages are short";
  }
  void broadcast(std::span<std::byte> bytes, int root) override { group_.broadcast(bytes, root); }
  void barrier() override { group_.barrier(); }
  void abort(std::string_view reason, int exit_code) noexcept override {
    group_.abort(reason, exit_code);
  }

 private:
  Group& group_;
  int sums_ = 0;
};

TEST(Linear, GroupsThatSumGiveTheSameBits) {
  const Weight w = WeightKind{"mxfp8", Format::parse("mxfp8")}.make(1, {37, 32 * 21});
  const Tensor x = random_weight(2, {3, 32 * 21});
  const Tensor expected =
      on_one_rank([&](Context& context) { return through_split_in(context, Linear(w), x); });
  for (const int ranks : {2, 3, 5, 8})
    on_ranks(ranks, [&](Context& context) {
      SummingGroup group(context.group);
      Context summing{context.backend, group, DType::kF32};
      EXPECT_TRUE(same_bits(through_split_in(summing, Linear(w), x), expected)) << ranks;
    });
}

// Two layers whose inputs are divided otherwise; one rank has no inputs of the second.
TEST(Linear, SumsOfTwoAreFinishedInOneExchange) {
  const Format format = Format::parse("mxfp8");
  const Weight w[] = {WeightKind{"mxfp8", format}.make(1, {37, 32 * 21}),
                      WeightKind{"mxfp8", format}.make(2, {37, 32 * 4})};
  const Tensor x[] = {random_weight(3, {3, 32 * 21}), random_weight(4, {3, 32 * 4})};
  const auto both = [&](Context& context, const std::optional<Tensor>& bias) {
    std::vector<Linear> parts;
    std::vector<UnfinishedSum> sums;
    for (int i = 0; i < 2; ++i)
      parts.push_back(shard_linear(Linear(w[i], i == 0 ? bias : std::nullopt),
                                   Sharding::kShardedToAll, context.group));
    for (int i = 0; i < 2; ++i) {
      const Partition inputs =
          division(x[i].shape()[1], 32, Segments::count(1), context.group.size());
      sums.push_back(parts[i].unfinished(context, columns(x[i], inputs[context.group.rank()])));
    }
    return finish_both(context, sums[0], sums[1]);
  };
  for (const auto& bias :
       {std::optional<Tensor>(), std::optional<Tensor>(random_weight(5, {1, 37}).reshape({37}))}) {
    const Tensor expected = on_one_rank([&](Context& context) {
      return context.backend.add(through_split_in(context, Linear(w[0], bias), x[0]),
                                 through_split_in(context, Linear(w[1]), x[1]));
    });
    for (const int ranks : kRankCounts)
      on_ranks(ranks, [&](Context& context) {
        EXPECT_TRUE(same_bits(both(context, bias), expected)) << ranks;
        if (ranks == 1) return;
        SummingGroup group(context.group);
        Context summing{context.backend, group, DType::kF32};
        EXPECT_TRUE(same_bits(both(summing, bias), expected)) << ranks;
        EXPECT_EQ(group.sums(), bias ? 2 : 1);
      });
  }
}

TEST(Linear, WeightedSharesGiveTheSameBits) {
  const WeightKind kind{"nvfp4", Format::parse("nvfp4")};
  const Weight w = kind.make(1, {5, 16 * 21});
  const Tensor x = random_weight(2, {3, 16 * 21});
  const Dimension inputs("inputs", 16 * 21, 16);
  const Tensor expected =
      on_one_rank([&](Context& context) { return through_split_in(context, Linear(w), x); });
  for (const auto& weights : std::vector<std::vector<int64_t>>{{2, 1}, {1, 5, 2}, {100, 1, 1, 1}}) {
    const Partition partition = Partition::divide(inputs, Shares::weighted(weights));
    on_ranks(partition.ranks(), [&](Context& context) {
      const auto ranges = partition[context.group.rank()];
      const Range range = ranges.empty() ? Range{0, 0} : ranges.front();
      const Linear part = Linear::sharded_to_all(w.slice(1, range.begin, range.end), std::nullopt,
                                                 inputs, partition);
      EXPECT_TRUE(same_bits(part.forward(context, columns(x, ranges), DType::kF32), expected));
    });
  }
}

TEST(Linear, DescribesItselfAsMlxDoes) {
  const Tensor bias = Tensor::zeros(DType::kF32, {6});
  const Weight dense = random_weight(1, {6, 384});
  EXPECT_EQ(Linear(dense).describe(), "Linear(input_dims=384, output_dims=6, bias=false)");
  const Linear quantized(
      quantize(random_weight(1, {6, 384}), Format::parse("affine", 6, 128), Encoder::kMlx), bias);
  EXPECT_EQ(quantized.describe(),
            "QuantizedLinear(input_dims=384, output_dims=6, bias=true, group_size=128, bits=6, "
            "mode=affine)");
  // Dimensions stay those of the whole layer on every rank.
  on_ranks(4, [&](Context& context) {
    const auto describe = [&](const Linear& layer, Sharding sharding) {
      return shard_linear(layer, sharding, context.group).describe();
    };
    EXPECT_EQ(describe(Linear(dense), Sharding::kAllToSharded),
              "AllToShardedLinear(input_dims=384, output_dims=6, bias=false)");
    EXPECT_EQ(describe(Linear(dense, bias), Sharding::kShardedToAll),
              "ShardedToAllLinear(input_dims=384, output_dims=6, bias=true)");
    EXPECT_EQ(describe(quantized, Sharding::kAllToSharded),
              "QuantizedAllToShardedLinear(input_dims=384, output_dims=6, bias=true, "
              "group_size=128, bits=6, mode=affine)");
    EXPECT_EQ(describe(quantized, Sharding::kShardedToAll),
              "QuantizedShardedToAllLinear(input_dims=384, output_dims=6, bias=true, "
              "group_size=128, bits=6, mode=affine)");
    EXPECT_EQ(describe(quantized, Sharding::kNone), quantized.describe());
  });
  for (const Format format : Format::all()) {
    const Linear layer(quantize(random_weight(1, {2, 128}), format, Encoder::kMlx));
    EXPECT_EQ(layer.describe(),
              "QuantizedLinear(input_dims=128, output_dims=2, bias=false, group_size=" +
                  std::to_string(format.group_size()) + ", bits=" + std::to_string(format.bits()) +
                  ", mode=" + std::string(format.mode_name()) + ")");
  }
  EXPECT_EQ(RmsNorm(Tensor::zeros(DType::kF32, {256}), 1e-5f).describe(),
            "RMSNorm(256, eps=1e-05)");
}

TEST(Linear, RefusesWhatDoesNotFit) {
  const Weight w = random_weight(1, {6, 64});
  const auto refused = [](const std::string& part, const std::function<void()>& body) {
    expect_error(ErrorKind::kUsage, part, body);
  };
  refused("linear: a weight [out, in] expected, found [2, 6, 64]", [] {
    Linear(random_weight(1, {2, 6, 64}));
  });
  refused("linear: a floating bias [6] expected, found F32 [5]",
          [&] { Linear(w, Tensor::zeros(DType::kF32, {5})); });
  refused("linear: a floating bias [6] expected, found U32 [6]",
          [&] { Linear(w, Tensor::zeros(DType::kU32, {6})); });
  on_ranks(1, [&](Context& context) {
    refused("matmul: a weight of 32 inputs, as x has expected, found [6, 64]", [&] {
      Linear(w).forward(context, Tensor::zeros(DType::kF32, {2, 32}), DType::kF32);
    });
  });
  on_ranks(2, [&](Context& context) {
    const auto solo = make_solo_group();
    Context other{context.backend, *solo, DType::kF32};
    const Linear part = shard_linear(Linear(w), Sharding::kShardedToAll, context.group);
    refused(
        "ShardedToAllLinear(input_dims=64, output_dims=6, bias=false): divided over 2 ranks, "
        "but the group has 1",
        [&] {
          part.forward(other, Tensor::zeros(DType::kF32, {2, 32}), DType::kF32);
        });
  });
}

}  // namespace
}  // namespace strake
