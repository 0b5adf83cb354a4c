// Which keys a token attends to (DeepSeek-V3.2's sparse attention, arXiv:2512.02556).
#pragma once

#include <cstdint>
#include <optional>

#include "nn/batch.h"
#include "nn/layer_loader.h"
#include "nn/layer_norm.h"

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

  // What a batch's rows contribute.
  struct Projections {
    std::optional<Tensor> queries;  // [rows, heads, head_dim], where some row has to select
    std::optional<Tensor> weights;  // float32 [rows, heads], likewise
  };
  // x [rows, hidden], residual [rows, query_rank]. Keys are stored in their sequences' caches.
  Projections project(Context& context, const Tensor& x, const Tensor& residual,
                      std::span<const SequenceRows> sequences) const;

  // The positions that a sequence's rows attend to, int32 [its rows, count], ascending, then -1;
  // nothing where the whole sequence is no longer than that.
  std::optional<Tensor> select(Context& context, const Projections& projections,
                               const SequenceRows& sequence) const;

  int64_t head_dim() const { return head_dim_; }
  // From this position on, a token attends to keys that are selected.
  int64_t count() const { return count_; }

 private:
  // Throws NotRecordable where a step's last position would need another form than its first.
  bool selects(const SequenceRows& sequence) const;
  void turn(Context& context, Tensor& heads, std::span<const SequenceRows> sequences) const;

  int64_t heads_;
  int64_t head_dim_;
  int64_t count_;
  RopeTable rope_;
  Linear queries_, keys_, weights_;
  LayerNorm norm_;
};

}  // namespace strake
