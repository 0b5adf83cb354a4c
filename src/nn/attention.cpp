#include "nn/attention.h"

#include <cmath>
#include <numeric>

#include "base/fail.h"

namespace strake {

struct Attention::Heads {
  Dimension inputs;  // of o_proj: all heads' elements
  Partition query;   // heads
  Partition kv;      // heads

  static Heads divide(const LayerLoader& load, const AttentionConfig& config) {
    if (config.heads % config.kv_heads != 0)
      fail(ErrorKind::kCheckpoint,
           "{}: {} attention heads are not whole groups for {} key-value heads",
           load.config().what(), config.heads, config.kv_heads);
    const int64_t extent = config.heads * config.head_dim;
    const int64_t ratio = config.heads / config.kv_heads;
    const int64_t unit = std::lcm(config.head_dim, load.input_unit("o_proj", extent));
    if (extent % unit != 0)
      fail(ErrorKind::kUnsupported, "{}: {} heads of {} elements are not whole units of {}",
           load.path("o_proj"), config.heads, config.head_dim, unit);
    Dimension inputs(load.path("o_proj") + ", inputs", extent, unit);
    // Whole groups of query heads, as long as there are enough, need no key-value head twice.
    const int64_t group = std::lcm(unit, ratio * config.head_dim);
    if (extent % group == 0) inputs = inputs.with_preferred_unit(group);
    const Partition query = Partition::covering(load.divide(inputs), config.head_dim);
    return {inputs, query, Partition::covering(query, ratio)};
  }
};

Attention::Attention(LayerLoader load, const AttentionConfig& config)
    : Attention(load, config, Heads::divide(load, config)) {}

Attention::Attention(LayerLoader& load, const AttentionConfig& config, const Heads& heads)
    : head_dim_(config.head_dim),
      query_heads_(heads.query.size(load.rank())),
      kv_heads_(heads.kv.size(load.rank())),
      rope_(config.rope),
      q_(load.all_to_sharded("q_proj", config.hidden, heads.query.scaled(head_dim_), config.bias)),
      k_(load.all_to_sharded("k_proj", config.hidden, heads.kv.scaled(head_dim_), config.bias)),
      v_(load.all_to_sharded("v_proj", config.hidden, heads.kv.scaled(head_dim_), config.bias)),
      o_(load.sharded_to_all("o_proj", heads.inputs, config.hidden, config.bias)) {
  const int64_t ratio = config.heads / config.kv_heads;
  const auto kv_ranges = heads.kv[load.rank()];
  for (const Range range : heads.query[load.rank()])
    for (int64_t head = range.begin; head < range.end; ++head)
      kv_of_query_.push_back(static_cast<int32_t>(head / ratio - kv_ranges.front().begin));
}

Tensor Attention::forward(Context& context, const Tensor& x, KvCache& cache,
                          int64_t first_position) const {
  const int64_t rows = x.shape()[0];
  const auto heads_of = [&](const Linear& projection, int64_t heads) {
    return projection.forward(context, x, context.activations).reshape({rows, heads, head_dim_});
  };
  Tensor q = heads_of(q_, query_heads_);
  Tensor k = heads_of(k_, kv_heads_);
  const Tensor v = heads_of(v_, kv_heads_);
  context.backend.rope(q, rope_, first_position);
  context.backend.rope(k, rope_, first_position);
  cache.store(context.backend, k, v, first_position);
  const AttentionView view{kv_of_query_, first_position,
                           1.0f / std::sqrt(static_cast<float>(head_dim_)), std::nullopt};
  const Tensor mixed = context.backend.attention(q, cache.keys(), cache.values(), view);
  return o_.forward(context, mixed.reshape({rows, query_heads_ * head_dim_}), DType::kF32);
}

}  // namespace strake
