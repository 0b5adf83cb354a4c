#include "nn/sparse_indexer.h"

#include <algorithm>

namespace strake {
namespace {

constexpr float kNormEps = 1e-6f;  // whatever config.json says of the other norms

}  // namespace

// The scores' constant factors, heads^-1/2 and head_dim^-1/2, do not change their order.
SparseIndexer::SparseIndexer(LayerLoader load, const IndexerConfig& config)
    : heads_(config.heads),
      head_dim_(config.head_dim),
      count_(config.count),
      rope_(config.rope),
      queries_(
          load.whole("wq_b", {config.heads * config.head_dim, config.query_rank}, Bias::kNone)),
      keys_(load.whole("wk", {config.head_dim, config.hidden}, Bias::kNone)),
      weights_(load.whole("weights_proj", {config.heads, config.hidden}, Bias::kNone)),
      norm_(load.layer_norm("k_norm", config.head_dim, kNormEps)) {}

bool SparseIndexer::selects(const SequenceRows& sequence) const {
  const Position& position = sequence.first_position;
  const auto at = [&](int64_t first) { return first + sequence.count() > count_; };
  if (at(position.first) != at(position.most)) throw NotRecordable();
  return at(position.first);
}

bool SparseIndexer::selects(std::span<const SequenceRows> sequences) const {
  return std::ranges::any_of(sequences, [&](const auto& each) { return selects(each); });
}

std::optional<Tensor> SparseIndexer::select(Context& context, const std::optional<Queries>& queries,
                                            const SequenceRows& sequence) const {
  if (!selects(sequence)) return std::nullopt;
  const Tensor own = queries->queries.slice(0, sequence.begin, sequence.end)
                         .reshape({sequence.count(), heads_, head_dim_});
  return context.backend.select_keys(own, queries->weights.slice(0, sequence.begin, sequence.end),
                                     sequence.cache[CachePart::kIndexKeys],
                                     {sequence.first_position, count_, &rope_});
}

}  // namespace strake
