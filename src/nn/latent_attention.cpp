#include "nn/latent_attention.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "base/recycled.h"
#include "nn/projections.h"
#include "nn/rope.h"
#include "quant/head_weights.h"

namespace strake {
namespace {

constexpr float kNormEps = 1e-6f;  // whatever config.json says of the other norms
// Elements of keys and values that are expanded at once.
constexpr int64_t kExpandedAtOnce = int64_t{1} << 24;

// The rows of these sequences, one after the other.
Tensor rows_of(const Tensor& x, std::span<const SequenceRows> sequences) {
  return by_sequence(sequences, kAnyRows,
                     [&](const SequenceRows& rows) { return x.slice(0, rows.begin, rows.end); });
}

}  // namespace

LatentAttentionConfig LatentAttentionConfig::read(const ModelConfig& config) {
  LatentAttentionConfig result{
      .hidden = config.integer("hidden_size"),
      .heads = config.integer("num_attention_heads"),
      .rank = config.integer("kv_lora_rank"),
      .key_width = config.integer("qk_nope_head_dim"),
      .rope_width = config.integer("qk_rope_head_dim"),
      .value_width = config.integer("v_head_dim"),
      .query_rank = {},
      .bias = config.flag_or("attention_bias", false) ? Bias::kPresent : Bias::kNone,
      .rope = make_rope(config, config.integer("qk_rope_head_dim"), 1e4),
      .scale = rope_score_scale(config)};
  if (config.has("q_lora_rank")) result.query_rank = config.integer("q_lora_rank");
  if (config.flag_or("rope_interleave", true)) result.rope.pairs = RopeTable::Pairs::kAdjacent;
  result.scale /= std::sqrt(static_cast<float>(result.key_width + result.rope_width));
  return result;
}

namespace {

// With bytes of its own: a view would keep those that it leaves out.
Weight copied(const Weight& weight) {
  if (weight.dense() != nullptr) return concatenate(std::span(weight.dense(), 1), 0);
  return concatenate(std::span(weight.quantized(), 1), 0);
}

}  // namespace

struct LatentAttention::Heads {
  Dimension inputs;  // of o_proj: all heads' values
  Partition heads;

  static Heads divide(const LayerLoader& load, const LatentAttentionConfig& config) {
    const int64_t extent = config.heads * config.value_width;
    const int64_t unit = std::lcm(config.value_width, load.input_unit("o_proj", extent));
    if (extent % unit != 0)
      fail(ErrorKind::kUnsupported, "{}: {} heads of {} elements are not whole units of {}",
           load.path("o_proj"), config.heads, config.value_width, unit);
    const Dimension inputs = load.dimension(load.path("o_proj") + ", inputs", extent, unit);
    return {inputs, Partition::covering(load.divide(inputs), config.value_width)};
  }

  // Of the keys' projection only the form that every step of decoding reads is kept.
  Projections load_projections(LayerLoader& load, const LatentAttentionConfig& config) const {
    switch (config.projections) {
      case HeadProjections::kPerHead:
        return {
            HeadLinear(load.heads("embed_q", {config.heads, config.rank, config.key_width}, heads)),
            HeadLinear(
                load.heads("unembed_out", {config.heads, config.value_width, config.rank}, heads))};
      case HeadProjections::kWhole: {
        const int64_t rows = config.key_width + config.value_width;
        auto parts =
            load.head_parts("kv_b_proj", {config.heads * rows, config.rank}, heads.scaled(rows),
                            [&](const Weight& all) -> std::vector<Weight> {
                              const Weight stack = stack_heads(all, rows);
                              return {transposed_values(stack.slice(1, 0, config.key_width)),
                                      copied(stack.slice(1, config.key_width, rows))};
                            });
        return {HeadLinear(std::move(parts[0])), HeadLinear(std::move(parts[1]))};
      }
    }
    fail(ErrorKind::kInternal, "{}: no such form of projections", load.path("kv_b_proj"));
  }
};

LatentAttention::LatentAttention(LayerLoader load, const LatentAttentionConfig& config)
    : LatentAttention(load, config, Heads::divide(load, config)) {}

LatentAttention::LatentAttention(LayerLoader& load, const LatentAttentionConfig& config,
                                 const Heads& heads)
    : config_(config),
      heads_(heads.heads.size(load.rank())),
      latent_heads_(static_cast<size_t>(heads_), 0),
      indexer_name_(load.path("indexer")),
      q_a_(config.query_rank ? std::optional(load.whole(
                                   "q_a_proj", {*config.query_rank, config.hidden}, config.bias))
                             : std::nullopt),
      q_norm_(config.query_rank
                  ? std::optional(load.rms_norm("q_a_layernorm", *config.query_rank, kNormEps))
                  : std::nullopt),
      q_(load.all_to_sharded(
          config.query_rank ? "q_b_proj" : "q_proj", config.query_rank.value_or(config.hidden),
          heads.heads.scaled(config.key_width + config.rope_width), Bias::kNone)),
      kv_a_(load.whole("kv_a_proj_with_mqa", {config.rank + config.rope_width, config.hidden},
                       config.bias)),
      kv_norm_(load.rms_norm("kv_a_layernorm", config.rank, kNormEps)),
      projections_(heads.load_projections(load, config)),
      o_(load.sharded_to_all("o_proj", heads.inputs, config.hidden, config.bias)) {
  if (config.selection == KeySelection::kOwn)
    indexer_.emplace(load.at("indexer"), config.indexer.value());
  load.ignore("rotary_emb.inv_freq");
}

LayerCache LatentAttention::make_cache(const CacheRoom& room) const {
  const auto rows = [&](int64_t width) {
    return CacheRows::make(room.storage, {1, room.capacity, width}, std::nullopt, room.place);
  };
  std::vector<std::pair<CachePart, CacheRows>> parts;
  parts.emplace_back(CachePart::kLatent, rows(config_.rank + config_.rope_width));
  if (indexer_) parts.emplace_back(CachePart::kIndexKeys, rows(indexer_->head_dim()));
  return indexer_ ? LayerCache(std::move(parts), indexer_->count()) : LayerCache(std::move(parts));
}

// Expanding P positions costs P * rank * (key + value) products a head; a row then saves
// P * (2 rank - key - value).
int64_t LatentAttention::expands_from() const {
  const int64_t expanded = config_.key_width + config_.value_width;
  const int64_t saved = 2 * config_.rank - expanded;
  return saved <= 0 ? kAnyRows : (config_.rank * expanded + saved - 1) / saved;
}

LatentAttention::Inputs LatentAttention::inputs(Context& context, const Tensor& x,
                                                std::span<const SequenceRows> sequences) const {
  const DType dtype = context.activations;
  const bool selects = indexer_ && indexer_->selects(sequences);
  Recycled<Projection> of_x;
  of_x.push_back(q_a_ ? Projection{*q_a_, DType::kF32} : Projection{q_, dtype});
  of_x.push_back({kv_a_, DType::kF32});
  if (indexer_) of_x.push_back(indexer_->keys());
  if (selects) of_x.push_back(indexer_->weights());
  const auto from_x = project(context, x, of_x);

  const auto residual = place(context, from_x, sequences);

  Recycled<Projection> of_residual;
  if (q_a_) of_residual.push_back({q_, dtype});
  if (selects) of_residual.push_back(indexer_->queries(dtype));
  Recycled<Tensor> from_residual;
  if (!of_residual.empty()) from_residual = project(context, residual ? *residual : x, of_residual);

  Inputs inputs{q_a_ ? from_residual.front() : from_x[0], std::nullopt};
  if (selects) inputs.index = {from_residual.back(), from_x[3]};
  return inputs;
}

std::optional<Tensor> LatentAttention::place(Context& context, std::span<const Tensor> from_x,
                                             std::span<const SequenceRows> sequences) const {
  const int64_t rows = from_x[0].shape()[0], width = config_.rank + config_.rope_width;
  const auto as_head = [&](const Tensor& x) { return x.reshape({rows, 1, x.shape()[1]}); };
  Recycled<HeadRows> all;
  const Tensor queries = as_head(from_x[0]);
  Recycled<HeadColumns> of_queries;
  if (q_norm_) {
    of_queries.push_back({queries, 0, *config_.query_rank, nullptr, q_norm_->of_rows()});
    all.push_back({of_queries, 0, rows, Position(), context.activations});
  }
  const auto to_cache = [&](CachePart part, std::span<const HeadColumns> columns) {
    for (const SequenceRows& own : sequences) {
      CacheRows& cache = own.cache[part];
      all.push_back({columns, own.begin, own.end, own.first_position, cache.dtype(), &cache});
    }
  };
  const Tensor latents = as_head(from_x[1]);
  const HeadColumns of_latents[] = {{latents, 0, config_.rank, nullptr, kv_norm_.of_rows()},
                                    {latents, config_.rank, width, &config_.rope}};
  to_cache(CachePart::kLatent, of_latents);
  std::optional<Tensor> keys;
  Recycled<HeadColumns> of_keys;
  if (indexer_) {
    keys = as_head(from_x[2]);
    of_keys.push_back(indexer_->to_cache(*keys));
    to_cache(CachePart::kIndexKeys, of_keys);
  }
  context.backend.place_each(all);
  if (!q_norm_) return std::nullopt;
  return all.front().result->reshape({rows, *config_.query_rank});
}

Recycled<std::optional<Tensor>> LatentAttention::select(
    Context& context, const Inputs& inputs, std::span<const SequenceRows> sequences) const {
  Recycled<std::optional<Tensor>> selected(sequences.size());
  if (config_.selection == KeySelection::kPrevious)
    std::ranges::transform(sequences, selected.begin(),
                           [](const SequenceRows& rows) { return *rows.selected; });
  if (!indexer_) return selected;
  for (size_t i = 0; i < sequences.size(); ++i) {
    selected[i] = indexer_->select(context, inputs.index, sequences[i]);
    if (selected[i]) context.record(indexer_name_, *selected[i]);
    if (sequences[i].selected != nullptr) *sequences[i].selected = selected[i];
  }
  return selected;
}

Tensor LatentAttention::forward(Context& context, const Tensor& x,
                                std::span<const SequenceRows> sequences) const {
  const Inputs inputs = this->inputs(context, x, sequences);
  const int64_t count = x.shape()[0];
  const Tensor queries =
      inputs.queries.reshape({count, heads_, config_.key_width + config_.rope_width});
  const auto selected = select(context, inputs, sequences);
  Recycled<Piece> few;
  for (size_t i = 0; i < sequences.size(); ++i)
    if (selected[i] || sequences[i].count() < expands_from())
      few.push_back({sequences[i], selected[i] ? &*selected[i] : nullptr});
  const Tensor absorbed = few.empty() ? queries : this->absorbed(context, queries, few);
  int64_t taken = 0;
  size_t next = 0;
  const Tensor mixed = by_sequence(sequences, kAnyRows, [&](const SequenceRows& rows) {
    if (next == few.size() || few[next].rows.begin != rows.begin)
      return expanded(context, queries, rows);
    ++next;
    taken += rows.count();
    return absorbed.slice(0, taken - rows.count(), taken);
  });
  return o_.forward(context, mixed.reshape({count, heads_ * config_.value_width}), DType::kF32);
}

Tensor LatentAttention::absorbed(Context& context, const Tensor& queries,
                                 std::span<const Piece> pieces) const {
  Recycled<SequenceRows> sequences;
  for (const Piece& piece : pieces) sequences.push_back(piece.rows);
  const int64_t width = config_.key_width + config_.rope_width;
  const Tensor all = rows_of(queries, sequences);
  // Of all sequences at once: each head's matrix is read once.
  const Tensor plain = projections_.absorb.forward(context, all, context.activations);
  Recycled<Tensor> mixed;
  int64_t begin = 0;
  for (const Piece& piece : pieces) {
    AttentionView view{latent_heads_, piece.rows.first_position, config_.scale};
    view.selected = piece.selected;
    const int64_t end = begin + piece.rows.count();
    const Tensor own_plain = plain.slice(0, begin, end), own = all.slice(0, begin, end);
    const HeadColumns columns[] = {{own_plain, 0, config_.rank},
                                   {own, config_.key_width, width, &config_.rope}};
    const Tensor latent_queries =
        context.backend.join_heads(columns, context.activations, piece.rows.first_position);
    mixed.push_back(context.backend.attention(latent_queries, piece.rows.cache[CachePart::kLatent],
                                              config_.rank, view));
    begin = end;
  }
  return projections_.unembed.forward(
      context, mixed.size() == 1 ? mixed.front() : concatenate(mixed, 0), context.activations);
}

Tensor LatentAttention::expanded(Context& context, const Tensor& queries,
                                 const SequenceRows& sequence) const {
  if (sequence.first_position.on_device != nullptr) throw NotRecordable();
  const int64_t positions = sequence.first_position.first + sequence.count();
  const int64_t width = config_.key_width + config_.rope_width;
  const Tensor cached = sequence.cache[CachePart::kLatent].first_rows(positions).reshape(
      {positions, config_.rank + config_.rope_width});
  const Tensor latents = cached.slice(1, 0, config_.rank);
  const Tensor turned = cached.slice(1, config_.rank, config_.rank + config_.rope_width)
                            .reshape({1, positions, config_.rope_width});
  const Tensor own = queries.slice(0, sequence.begin, sequence.end);
  const HeadColumns columns[] = {{own, 0, config_.key_width},
                                 {own, config_.key_width, width, &config_.rope}};
  const Tensor q =
      context.backend.join_heads(columns, context.activations, sequence.first_position);
  const int64_t at_once =
      std::max<int64_t>(1, kExpandedAtOnce / (positions * (width + config_.value_width)));
  Recycled<Tensor> mixed{q.beside(q.dtype(), {sequence.count(), 0, config_.value_width})};
  for (int64_t head = 0; head < heads_; head += at_once) {
    const Range heads{head, std::min(head + at_once, heads_)};
    const Recycled<Tensor> copies(static_cast<size_t>(heads.size()), turned);
    const Tensor key_parts[] = {
        projections_.absorb.spread_turned(context, latents, heads, context.activations),
        concatenate(copies, 0)};
    const CacheRows keys = concatenate(key_parts, 2);
    const CacheRows values =
        projections_.unembed.spread(context, latents, heads, context.activations);
    Recycled<int32_t> read(static_cast<size_t>(heads.size()));
    std::iota(read.begin(), read.end(), 0);
    mixed.push_back(
        context.backend.attention(q.slice(1, heads.begin, heads.end), keys, values,
                                  AttentionView{read, sequence.first_position, config_.scale}));
  }
  return concatenate(mixed, 1);
}

}  // namespace strake
