#include "strake/nn/embedding.h"

#include <gtest/gtest.h>

#include "io/expect_error.h"
#include "ranks.h"
#include "support/bits.h"
#include "support/weights.h"

namespace strake {
namespace {

const std::vector<int32_t> kIds{4, 0, 2, 4, 4, 1, 3, 0};

// Five rows: with 8 and 16 ranks, some have none.
TEST(Embedding, DividedGivesTheBitsOfTheWhole) {
  for (const int ranks : {1, 2, 3, 4, 5, 8, 16})
    on_ranks(ranks, [&](Context& context) {
      for (const WeightKind& kind : all_weight_kinds()) {
        SCOPED_TRACE(testing::Message() << kind.name << " on " << ranks);
        const int64_t width = 2 * kind.group();
        const Embedding whole(kind.make(1, {5, width}));
        const Embedding part = shard_embedding(whole, context.group);
        EXPECT_EQ(part.vocabulary(), 5);
        EXPECT_EQ(part.table().format(), kind.format);
        EXPECT_EQ(part.describe(), whole.describe());
        const Tensor rows = part.forward(context, kIds);
        EXPECT_TRUE(same_bits(rows, context.backend.embedding(whole.table(), kIds)));
        EXPECT_TRUE(same_bits(rows, whole.forward(context, kIds)));
        EXPECT_EQ(part.forward(context, {}).shape(), (Shape{0, width}));
        const Tensor x = random_weight(2, {3, width}).to(DType::kBF16);
        const Tensor logits = part.as_linear(context, x);
        EXPECT_TRUE(same_bits(logits, whole.as_linear(context, x)));
        expect_product(logits, x, values_of(whole.table()));
      }
    });
}

TEST(Embedding, FindsRowsInEveryKindOfPartition) {
  const Tensor table = random_weight(1, {11, 8});
  std::vector<int32_t> ids;
  for (int32_t id = 10; id >= 0; --id) ids.push_back(id);
  const Partition partitions[] = {
      Partition::divide(Dimension("v", 11, 1), Shares::weighted({1, 9, 2})),
      Partition::divide(Dimension("v", 11, 1, Segments::positions({4, 5})), Shares::equal(3))};
  for (const Partition& partition : partitions)
    on_ranks(3, [&](Context& context) {
      std::vector<Tensor> rows{table.slice(0, 0, 0)};
      for (const Range range : partition[context.group.rank()])
        rows.push_back(table.slice(0, range.begin, range.end));
      const Embedding part(concatenate(rows, 0), partition);
      EXPECT_TRUE(same_bits(part.forward(context, ids), Embedding(table).forward(context, ids)));
      EXPECT_TRUE(
          same_bits(part.as_linear(context, table), Embedding(table).as_linear(context, table)));
    });
}

// The host's ids are others: those at the place of computation count.
TEST(Embedding, OfIdsThatTheHostDoesNotKnowHasTheSameBits) {
  const std::vector<int32_t> unknown(kIds.size(), 0);
  const Tensor ids = Tensor::from<int32_t>(kIds, {std::ssize(kIds)});
  for (const int ranks : {1, 2, 3, 8})
    on_ranks(ranks, [&](Context& context) {
      for (const WeightKind& kind : all_weight_kinds()) {
        SCOPED_TRACE(testing::Message() << kind.name << " on " << ranks);
        const Embedding whole(kind.make(1, {5, 2 * kind.group()}));
        const Embedding part = shard_embedding(whole, context.group);
        EXPECT_TRUE(same_bits(part.forward(context, TokenIds(unknown, &ids)),
                              whole.forward(context, kIds)));
      }
    });
}

TEST(Embedding, FindsUnknownIdsInEveryKindOfPartition) {
  const Tensor table = random_weight(1, {11, 8});
  std::vector<int32_t> all;
  for (int32_t id = 10; id >= 0; --id) all.push_back(id);
  const std::vector<int32_t> unknown(all.size(), 0);
  const Tensor ids = Tensor::from<int32_t>(all, {std::ssize(all)});
  const Partition partition =
      Partition::divide(Dimension("v", 11, 1, Segments::positions({4, 5})), Shares::equal(3));
  on_ranks(3, [&](Context& context) {
    std::vector<Tensor> rows{table.slice(0, 0, 0)};
    for (const Range range : partition[context.group.rank()])
      rows.push_back(table.slice(0, range.begin, range.end));
    const Embedding part(concatenate(rows, 0), partition);
    EXPECT_TRUE(same_bits(part.forward(context, TokenIds(unknown, &ids)),
                          Embedding(table).forward(context, all)));
  });
}

TEST(Embedding, DescribesItselfAsMlxDoes) {
  EXPECT_EQ(Embedding(random_weight(1, {2048, 32})).describe(), "Embedding(2048, 32)");
  const Weight table = quantize(random_weight(1, {20, 64}), Format::parse("mxfp8"), Encoder::kMlx);
  EXPECT_EQ(Embedding(table).describe(),
            "QuantizedEmbedding(20, 64, group_size=32, bits=8, mode=mxfp8)");
}

TEST(Embedding, RefusesTokensBeyondTheVocabularyOnEveryRank) {
  const Embedding whole(random_weight(1, {5, 8}));
  on_ranks(3, [&](Context& context) {
    const Embedding part = shard_embedding(whole, context.group);
    for (const int32_t id : {5, -1, 1 << 30})
      for (const Embedding& embedding : {whole, part})
        expect_error(ErrorKind::kUsage,
                     "embedding: token id below 5 expected, found " + std::to_string(id), [&] {
                       const std::vector<int32_t> ids{0, id};
                       embedding.forward(context, ids);
                     });
  });
}

TEST(Embedding, RefusesTablesThatItCannotDivide) {
  expect_error(ErrorKind::kUsage,
               "embedding: a table [vocabulary, width] expected, found [2, 3, 4]", [] {
                 Embedding(random_weight(1, {2, 3, 4}));
               });
  const Embedding whole(random_weight(1, {6, 8}));
  on_ranks(2, [&](Context& context) {
    expect_error(ErrorKind::kUsage, "shard_embedding: a whole table expected, found 3 of 6 rows",
                 [&] { shard_embedding(shard_embedding(whole, context.group), context.group); });
  });
}

TEST(GatherColumns, PutsEachRanksRangesInTheirPlaces) {
  const Tensor all = random_weight(1, {3, 12});
  for (const DType dtype : {DType::kF32, DType::kBF16})
    for (const int ranks : kRankCounts) {
      const Partition partition = division(12, 1, Segments::positions({6, 8}), ranks);
      on_ranks(ranks, [&](Context& context) {
        const Tensor local = columns(all, partition[context.group.rank()]).to(dtype);
        EXPECT_TRUE(same_bits(gather_columns(context, local, partition), all.to(dtype)));
      });
    }
}

}  // namespace
}  // namespace strake
