// Which keys a token attends to (DeepSeek-V3.2's sparse attention, arXiv:2512.02556).
#pragma once

#include <cstdint>
#include <optional>

#include "nn/batch.h"
#include "nn/layer_loader.h"
#include "nn/layer_norm.h"
#include "nn/projections.h"

namespace strake {

struct IndexerConfig {
  int64_t hidden;
  int64_t query_rank;  // width of what its queries are made of
  int64_t heads;
  int64_t head_dim;
  int64_t count;  // keys that a token attends to
  RopeTable rope;
};

// A light attention that only ranks: the score of a key is the sum over heads of relu(query . key),
// each weighted by the token. Every rank holds all of it and comes to the same selection.
class SparseIndexer {
 public:
  // wq_b, wk, k_norm and weights_proj below the loader's path.
  SparseIndexer(LayerLoader load, const IndexerConfig& config);

  // Of attention's input: keys, and weights where some row has to select; of what attention's
  // queries are made of: queries, likewise. Attention projects both together with its own.
  Projection keys() const { return {keys_, DType::kF32}; }
  Projection weights() const { return {weights_, DType::kF32}; }
  Projection queries(DType dtype) const { return {queries_, dtype}; }
  // Whether some row has to select. Throws NotRecordable where a step's last position would need
  // another form than its first.
  bool selects(std::span<const SequenceRows> sequences) const;

  // Of what comes of keys() for a batch, [rows, 1, head_dim]: what goes to the cache.
  HeadColumns to_cache(const Tensor& keys) const {
    return {keys, 0, head_dim_, &rope_, norm_.of_rows()};
  }

  // What comes of the others; queries may turn in place.
  struct Queries {
    Tensor queries;  // [rows, heads * head_dim]
    Tensor weights;  // float32 [rows, heads]
  };
  // The positions that a sequence's rows attend to, int32 [its rows, count], ascending, then -1;
  // nothing where the whole sequence is no longer than that, and then `queries` may be, too. Keys
  // of these rows are in the cache.
  std::optional<Tensor> select(Context& context, const std::optional<Queries>& queries,
                               const SequenceRows& sequence) const;

  int64_t head_dim() const { return head_dim_; }
  // From this position on, a token attends to keys that are selected.
  int64_t count() const { return count_; }

 private:
  bool selects(const SequenceRows& sequence) const;

  int64_t heads_;
  int64_t head_dim_;
  int64_t count_;
  RopeTable rope_;
  Linear queries_, keys_, weights_;
  LayerNorm norm_;
};

}  // namespace strake
