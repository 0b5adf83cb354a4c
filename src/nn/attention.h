// Grouped-query attention (arXiv:2305.13245), heads divided over ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/recycled.h"
#include "nn/batch.h"
#include "nn/head_norm.h"
#include "nn/layer_loader.h"

namespace strake {

// Scores of a query at position p are 1 + beta ln(1 + floor(p / unit)) times as large.
struct ScoreGrowth {
  double beta;
  int64_t unit;
};

// Learned scores that add no value, one a head: `sinks`.
enum class Sinks { kNone, kPresent };

struct AttentionConfig {
  int64_t hidden;
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  Bias bias = Bias::kNone;         // of q, k and v
  Bias output_bias = Bias::kNone;  // of o
  std::optional<RopeTable> rope = {};
  std::optional<int64_t> window = {};
  std::optional<HeadNorms> norms = {};
  std::optional<float> scale = {};  // of scores; else 1 / sqrt(head_dim)
  std::optional<ScoreGrowth> growth = {};
  Sinks sinks = Sinks::kNone;
};

// Query heads are divided; each rank holds the key-value heads that its query heads read, so they
// are replicated where ranks outnumber them.
class Attention {
 public:
  // q_proj, k_proj, v_proj, o_proj and what the config asks for, below the loader's path.
  Attention(LayerLoader load, const AttentionConfig& config);

  // x [rows, hidden] -> float32 [rows, hidden].
  Tensor forward(Context& context, const Tensor& x, std::span<const SequenceRows> sequences) const;

  LayerCache make_cache(const CacheRoom& room) const;

 private:
  struct Heads;  // how the heads divide
  Attention(LayerLoader& load, const AttentionConfig& config, const Heads& heads);
  // projected [rows, heads * head_dim] -> [rows, heads, head_dim].
  Tensor as_heads(Context& context, const Tensor& projected,
                  const std::optional<HeadNorm>& norm) const;
  Recycled<float> row_scales(const SequenceRows& rows) const;

  int64_t head_dim_;
  int64_t query_heads_;  // of this rank
  int64_t kv_heads_;     // of this rank
  float scale_;
  std::vector<int32_t> kv_of_query_;
  std::optional<RopeTable> rope_;
  std::optional<int64_t> window_;
  std::optional<ScoreGrowth> growth_;
  Linear q_, k_, v_, o_;
  std::optional<HeadNorm> q_norm_, k_norm_;
  std::optional<Tensor> sinks_;  // float32 [query heads of this rank]
};

}  // namespace strake
