// Grouped-query attention (arXiv:2305.13245) with rotary positions, heads divided over ranks.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/kv_cache.h"
#include "nn/layer_loader.h"

namespace strake {

struct AttentionConfig {
  int64_t hidden;
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  Bias bias;  // of q, k, v and o alike
  RopeTable rope;
};

// Query heads are divided; each rank holds the key-value heads that its query heads read, so they
// are replicated where ranks outnumber them.
class Attention {
 public:
  // q_proj, k_proj, v_proj and o_proj below the loader's path.
  Attention(LayerLoader load, const AttentionConfig& config);

  // x [rows, hidden], the tokens at first_position .. -> float32 [rows, hidden].
  Tensor forward(Context& context, const Tensor& x, KvCache& cache, int64_t first_position) const;

  KvCache make_cache(int64_t capacity, DType dtype, Device device) const {
    return {dtype, {kv_heads_, capacity, head_dim_}, device};
  }

 private:
  struct Heads;  // how the heads divide
  Attention(LayerLoader& load, const AttentionConfig& config, const Heads& heads);

  int64_t head_dim_;
  int64_t query_heads_;  // of this rank
  int64_t kv_heads_;     // of this rank
  std::vector<int32_t> kv_of_query_;
  RopeTable rope_;
  Linear q_, k_, v_, o_;
};

}  // namespace strake
