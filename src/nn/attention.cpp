#include "nn/attention.h"

#include <cmath>
#include <numeric>

#include "base/fail.h"
#include "nn/projections.h"

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
    Dimension inputs = load.dimension(load.path("o_proj") + ", inputs", extent, unit);
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
      scale_(config.scale.value_or(1.0f / std::sqrt(static_cast<float>(head_dim_)))),
      rope_(config.rope),
      window_(config.window),
      growth_(config.growth),
      q_(load.all_to_sharded("q_proj", config.hidden, heads.query.scaled(head_dim_), config.bias)),
      k_(load.all_to_sharded("k_proj", config.hidden, heads.kv.scaled(head_dim_), config.bias)),
      v_(load.all_to_sharded("v_proj", config.hidden, heads.kv.scaled(head_dim_), config.bias)),
      o_(load.sharded_to_all("o_proj", heads.inputs, config.hidden, config.output_bias)) {
  const int64_t ratio = config.heads / config.kv_heads;
  const auto kv_ranges = heads.kv[load.rank()];
  for (const Range range : heads.query[load.rank()])
    for (int64_t head = range.begin; head < range.end; ++head)
      kv_of_query_.push_back(static_cast<int32_t>(head / ratio - kv_ranges.front().begin));
  if (config.norms) {
    q_norm_.emplace(load, "q_norm", *config.norms, heads.query, head_dim_);
    k_norm_.emplace(load, "k_norm", *config.norms, heads.kv, head_dim_);
  }
  if (config.sinks == Sinks::kPresent) sinks_ = load.floats("sinks", {config.heads}, &heads.query);
}

Tensor Attention::as_heads(Context& context, const Tensor& projected,
                           const std::optional<HeadNorm>& norm) const {
  const Tensor y = norm ? norm->forward(context, projected) : projected;
  return y.reshape({y.shape()[0], y.shape()[1] / head_dim_, head_dim_});
}

Recycled<float> Attention::row_scales(const SequenceRows& rows) const {
  Recycled<float> scales;
  if (!growth_) return scales;
  if (rows.first_position.on_device != nullptr) throw NotRecordable();  // the host makes them
  for (int64_t i = 0; i < rows.count(); ++i) {
    const auto units = static_cast<double>((rows.first_position.first + i) / growth_->unit);
    scales.push_back(static_cast<float>(1 + growth_->beta * std::log1p(units)));
  }
  return scales;
}

Tensor Attention::forward(Context& context, const Tensor& x,
                          std::span<const SequenceRows> sequences) const {
  Backend& backend = context.backend;
  const auto dtype_of = [&](const std::optional<HeadNorm>& norm) {
    return norm ? DType::kF32 : context.activations;
  };
  const auto [q_projected, k_projected, v_projected] =
      project(context, x, {{q_, dtype_of(q_norm_)}, {k_, dtype_of(k_norm_)}, {v_, dtype_of({})}});
  const Tensor queries = as_heads(context, q_projected, q_norm_);
  const Tensor keys = as_heads(context, k_projected, k_norm_);
  const Tensor values = as_heads(context, v_projected, std::nullopt);
  // A window's ring takes no more rows before they are attended to.
  const int64_t most_rows = window_ ? kRingUnit : kAnyRows;
  const Tensor mixed = by_sequence(sequences, most_rows, [&](const SequenceRows& rows) {
    Tensor q = queries.slice(0, rows.begin, rows.end);
    Tensor k = keys.slice(0, rows.begin, rows.end);
    const Tensor v = values.slice(0, rows.begin, rows.end);
    NewHeads heads{k, v, rope_ ? &*rope_ : nullptr};
    CacheRows& cached_keys = rows.cache[CachePart::kKeys];
    CacheRows& cached_values = rows.cache[CachePart::kValues];
    backend.place_heads(q, heads, cached_keys, cached_values, rows.first_position);
    const Recycled<float> scales = row_scales(rows);
    AttentionView view{kv_of_query_, rows.first_position, scale_, window_};
    if (sinks_) view.sinks = sinks_->data<float>();
    view.row_scales = scales;
    return backend.attention(q, cached_keys, cached_values, view);
  });
  return o_.forward(context, mixed.reshape({x.shape()[0], query_heads_ * head_dim_}), DType::kF32);
}

LayerCache Attention::make_cache(const CacheRoom& room) const {
  const auto rows = [&] {
    return CacheRows::make(room.storage, {kv_heads_, room.capacity, head_dim_}, window_,
                           room.place);
  };
  return LayerCache({{CachePart::kKeys, rows()}, {CachePart::kValues, rows()}});
}

}  // namespace strake
