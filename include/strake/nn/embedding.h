// Token embeddings.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "strake/nn/context.h"
#include "strake/nn/reduction.h"
#include "strake/quant/weight.h"
#include "strake/shard/partition.h"

namespace strake {

// A table [vocabulary, width], whole or divided over ranks by rows.
class Embedding {
 public:
  explicit Embedding(Weight table);
  // This rank's rows, as the partition of the vocabulary says.
  Embedding(Weight rows, Partition vocabulary);

  // Rows `ids` -> float32 [ids, width] on every rank. Throws Error(kUsage) for an id beyond the
  // vocabulary.
  Tensor forward(Context& context, const TokenIds& ids) const;
  Tensor forward(Context& context, std::span<const int32_t> ids) const {
    return forward(context, TokenIds(ids));
  }
  // The transposed product, for tied output layers: x floating [rows, width] -> float32
  // [rows, vocabulary] on every rank.
  Tensor as_linear(Context& context, const Tensor& x) const;

  const Weight& table() const { return table_; }
  int64_t vocabulary() const { return vocabulary_.extent(); }
  // "QuantizedEmbedding(2048, 256, group_size=32, bits=8, mode=mxfp8)".
  std::string describe() const;

 private:
  Tensor gather_asked(Context& context, std::span<const int32_t> ids) const;
  Tensor gather_all(Context& context, const TokenIds& ids) const;

  Weight table_;
  Partition vocabulary_;
  std::vector<HeldRows> held_;  // by the ranks
  Reduction reduction_;
};

// This rank's rows of a whole table. Throws Error(kUsage) for a table that is divided already.
Embedding shard_embedding(const Embedding& embedding, const Group& group);

}  // namespace strake
