// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values of all heads are
// projections of one latent vector a token, and only that is cached. Heads divide over ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/recycled.h"
#include "nn/batch.h"
#include "nn/head_linear.h"
#include "nn/kv_cache.h"
#include "nn/layer_loader.h"
#include "nn/sparse_indexer.h"

namespace strake {

// How checkpoints of a model name the projections of the latent vector.
enum class HeadProjections {
  kWhole,    // kv_b_proj: of each head the keys' rows, then the values'
  kPerHead,  // embed_q and unembed_out, as MLX has them
};

// Which of a sequence's keys its tokens attend to.
enum class KeySelection {
  kAll,
  kOwn,       // those that the layer's indexer selects
  kPrevious,  // those that the last layer with an indexer selected
};

struct LatentAttentionConfig {
  int64_t hidden;
  int64_t heads;
  int64_t rank;         // of the latent vector
  int64_t key_width;    // of a head, without positions
  int64_t rope_width;   // more elements of a key, which carry its position, for all heads alike
  int64_t value_width;  // of a head
  std::optional<int64_t> query_rank;  // queries are low-rank, too
  Bias bias;                          // of q_a_proj, kv_a_proj_with_mqa and o_proj
  HeadProjections projections = HeadProjections::kPerHead;
  RopeTable rope;
  float scale;
  KeySelection selection = KeySelection::kAll;
  std::optional<IndexerConfig> indexer = {};  // of kOwn

  // The fields that all such models share. Throws Error(kCheckpoint) as the getters do.
  static LatentAttentionConfig read(const ModelConfig& config);
};

// Two forms with one meaning. Absorbed: queries are projected to the latent space and attend to the
// cached vectors themselves, all heads to the same. Expanded: the cached vectors are projected to
// every head's keys and values, which costs more once and less for each query. A sequence's rows
// alone decide between them, so that neither ranks nor other sequences change its bits; where keys
// are selected, the form is always the absorbed one.
class LatentAttention {
 public:
  // The layers below the loader's path.
  LatentAttention(LayerLoader load, const LatentAttentionConfig& config);

  // x [rows, hidden] -> float32 [rows, hidden].
  Tensor forward(Context& context, const Tensor& x, std::span<const SequenceRows> sequences) const;
  LayerCache make_cache(const CacheRoom& room) const;

  // Rows of a sequence from which on it is cheaper to expand.
  int64_t expands_from() const;

 private:
  // What x becomes first, beside rows of the caches.
  struct Inputs {
    Tensor queries;  // [rows, heads * (key_width + rope_width)]
    std::optional<SparseIndexer::Queries> index;
  };
  // A sequence that goes the absorbed way, with the keys that it attends to; nullptr: all.
  struct Piece {
    SequenceRows rows;
    const Tensor* selected;
  };
  struct Projections {
    HeadLinear absorb;   // queries to the latent space; turned over, latent vectors to keys
    HeadLinear unembed;  // latent vectors to values
  };
  struct Heads;  // how they divide
  LatentAttention(LayerLoader& load, const LatentAttentionConfig& config, const Heads& heads);

  Inputs inputs(Context& context, const Tensor& x, std::span<const SequenceRows> sequences) const;
  // What is between the projections of x and those of that: latents, float32 [rows, rank +
  // rope_width], and the indexer's keys go to the caches. Returns the normed latents of queries, if
  // there are some.
  std::optional<Tensor> place(Context& context, std::span<const Tensor> from_x,
                              std::span<const SequenceRows> sequences) const;
  // The keys that each sequence attends to, or nothing where those are all.
  Recycled<std::optional<Tensor>> select(Context& context, const Inputs& inputs,
                                         std::span<const SequenceRows> sequences) const;
  // queries [rows, heads, key_width + rope_width] -> [rows, heads, value_width] of these sequences.
  Tensor absorbed(Context& context, const Tensor& queries, std::span<const Piece> pieces) const;
  Tensor expanded(Context& context, const Tensor& queries, const SequenceRows& sequence) const;

  LatentAttentionConfig config_;
  int64_t heads_;                      // of this rank
  std::vector<int32_t> latent_heads_;  // the one that each of them reads
  std::string indexer_name_;           // in traces
  std::optional<Linear> q_a_;
  std::optional<RmsNorm> q_norm_;
  Linear q_;  // q_b_proj, or q_proj where queries are not low-rank
  Linear kv_a_;
  RmsNorm kv_norm_;
  Projections projections_;
  Linear o_;
  std::optional<SparseIndexer> indexer_;
};

}  // namespace strake
