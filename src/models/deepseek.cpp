#include "models/deepseek.h"

#include <algorithm>

#include "base/fail.h"
#include "models/fields.h"
#include "nn/block.h"

namespace strake {
namespace {

using Layer = PreNormBlock<LatentAttention, SparseMlp, GatedMlp>;
using Feed = std::variant<SparseMlp, GatedMlp>;

// Layers from first_k_dense_replace on, every moe_layer_freq-th; or as mlp_layer_types says.
std::vector<bool> read_expert_layers(const ModelConfig& config, int64_t layers) {
  std::vector<bool> result;
  if (config.has("mlp_layer_types")) {
    for (const std::string& type : config.texts("mlp_layer_types")) {
      if (type != "dense" && type != "sparse")
        fail(ErrorKind::kUnsupported, "{}: mlp_layer_types: dense or sparse expected, found {}",
             config.what(), type);
      result.push_back(type == "sparse");
    }
    if (std::ssize(result) < layers)
      fail(ErrorKind::kCheckpoint, "{}: mlp_layer_types: {} of them expected, found {}",
           config.what(), layers, result.size());
    return result;
  }
  const int64_t first =
      config.has("first_k_dense_replace") ? config.integer("first_k_dense_replace", 0) : 0;
  const int64_t frequency = config.integer_or("moe_layer_freq", 1);
  for (int64_t i = 0; i < layers; ++i) result.push_back(i >= first && i % frequency == 0);
  return result;
}

// Which layers select keys by themselves, not those of the layer before (arXiv:2603.12201): as
// indexer_types says, or index_topk_pattern; or every index_topk_freq-th after the first few.
std::vector<bool> read_indexer_layers(const ModelConfig& config, int64_t layers) {
  std::vector<bool> result;
  const auto add = [&](std::string_view field, std::string_view type, std::string_view full,
                       std::string_view shared) {
    if (type != full && type != shared)
      fail(ErrorKind::kUnsupported, "{}: {}: {} or {} expected, found {}", config.what(), field,
           full, shared, type);
    result.push_back(type == full);
  };
  constexpr const char* kTypes = "indexer_types";
  constexpr const char* kPattern = "index_topk_pattern";
  constexpr const char* kOffset = "index_skip_topk_offset";
  const bool is_listed = config.has(kTypes) || config.has(kPattern);
  const char* const field = config.has(kTypes)     ? kTypes
                            : config.has(kPattern) ? kPattern
                                                   : "index_topk_freq";
  if (is_listed && config.json().at(field).is_string()) {
    for (const char type : config.text(field)) add(field, {&type, 1}, "F", "S");
  } else if (is_listed) {
    for (const std::string& type : config.texts(field)) add(field, type, "full", "shared");
  } else {
    const int64_t frequency = config.integer_or("index_topk_freq", 1);
    const int64_t first = config.has(kOffset) ? config.integer(kOffset, 0) - 1 : 1;
    for (int64_t i = 0; i < layers; ++i)
      result.push_back(std::max<int64_t>(i - first, 0) % frequency == 0);
  }
  if (std::ssize(result) < layers)
    fail(ErrorKind::kCheckpoint, "{}: {}: {} of them expected, found {}", config.what(), field,
         layers, result.size());
  if (!result.front())
    fail(ErrorKind::kCheckpoint, "{}: {}: the first layer has none before it to share with",
         config.what(), field);
  return result;
}

RoutingRule read_rule(const ModelConfig& config) {
  using Weights = RoutingRule::Weights;
  RoutingRule rule{
      .experts = read_experts(config),
      .chosen = config.integer("num_experts_per_tok"),
      .scores = RoutingRule::Scores::kSigmoid,
      .weights = config.flag_or("norm_topk_prob", true) ? Weights::kNormalized : Weights::kScores,
      .scale = static_cast<float>(config.number_or("routed_scaling_factor", 1.0)),
      .groups = config.integer_or("n_group", 1),
      .chosen_groups = config.integer_or("topk_group", 1)};
  rule.check(config.what());
  return rule;
}

Layer make_layer(LayerLoader load, const DeepseekConfig& config, int64_t index) {
  LatentAttentionConfig attention = config.attention;
  if (attention.indexer)
    attention.selection = config.has_indexer[static_cast<size_t>(index)] ? KeySelection::kOwn
                                                                         : KeySelection::kPrevious;
  const int64_t hidden = config.decoder.hidden;
  const float eps = config.decoder.eps;
  const auto feed = [&](LayerLoader at) -> Feed {
    if (config.has_experts[static_cast<size_t>(index)]) return SparseMlp(at, config.mixture);
    return GatedMlp(at, hidden, config.width, Bias::kNone);
  };
  return Layer{load, load.rms_norm("input_layernorm", hidden, eps),
               LatentAttention(load.at("self_attn"), attention),
               load.rms_norm("post_attention_layernorm", hidden, eps), feed(load.at("mlp"))};
}

}  // namespace

DeepseekConfig DeepseekConfig::read(const ModelConfig& config) {
  require_text(config, "hidden_act", "silu");
  DeepseekConfig result{.decoder = DecoderConfig::read(config, OutputLayer::kOwn),
                        .attention = LatentAttentionConfig::read(config),
                        .width = config.integer("intermediate_size"),
                        .mixture = {},
                        .has_experts = {},
                        .has_indexer = {}};
  const int64_t layers = result.decoder.layers;
  result.has_experts.assign(static_cast<size_t>(layers), false);
  if (!experts_field(config)) return result;
  result.has_experts = read_expert_layers(config, layers);
  const int64_t width = config.integer("moe_intermediate_size");
  const RoutingRule rule = read_rule(config);
  result.mixture = {.router = {.hidden = result.decoder.hidden,
                               .rule = rule,
                               .kind = Gate::kTensor,
                               .correction = "gate.e_score_correction_bias"},
                    .experts = {.hidden = result.decoder.hidden,
                                .width = width,
                                .experts = rule.experts,
                                .chosen = rule.chosen}};
  if (config.has("n_shared_experts"))
    result.mixture.shared_width = width * config.integer("n_shared_experts", 0);
  return result;
}

DeepseekConfig DeepseekConfig::read_v3(const ModelConfig& config) {
  require_text(config, "topk_method", "noaux_tc");
  require_text(config, "scoring_func", "sigmoid");
  return read(config);
}

void DeepseekConfig::read_indexers(const ModelConfig& config, RopeTable::Pairs pairs) {
  has_indexer = read_indexer_layers(config, decoder.layers);
  attention.indexer = {.hidden = decoder.hidden,
                       .query_rank = config.integer("q_lora_rank"),
                       .heads = config.integer("index_n_heads"),
                       .head_dim = config.integer("index_head_dim"),
                       .count = config.integer("index_topk"),
                       .rope = attention.rope};
  attention.indexer->rope.pairs =
      config.flag_or("indexer_rope_interleave", pairs == RopeTable::Pairs::kAdjacent)
          ? RopeTable::Pairs::kAdjacent
          : RopeTable::Pairs::kHalves;
}

std::unique_ptr<Model> make_deepseek(LayerLoader load, const DeepseekConfig& config) {
  load.ignore_layers_from(config.decoder.layers);  // those predict tokens after the next
  return std::make_unique<Decoder<Layer>>(load, config.decoder, [&](LayerLoader at, int64_t index) {
    return make_layer(std::move(at), config, index);
  });
}

}  // namespace strake
