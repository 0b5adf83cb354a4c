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

RoutingRule read_rule(const ModelConfig& config) {
  using Weights = RoutingRule::Weights;
  RoutingRule rule{
      .experts = config.integer("n_routed_experts"),
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
  const int64_t hidden = config.decoder.hidden;
  const float eps = config.decoder.eps;
  const auto feed = [&](LayerLoader at) -> Feed {
    if (config.has_experts[static_cast<size_t>(index)]) return SparseMlp(at, config.mixture);
    return GatedMlp(at, hidden, config.width, Bias::kNone);
  };
  return Layer{load, load.rms_norm("input_layernorm", hidden, eps),
               LatentAttention(load.at("self_attn"), config.attention),
               load.rms_norm("post_attention_layernorm", hidden, eps), feed(load.at("mlp"))};
}

}  // namespace

DeepseekConfig DeepseekConfig::read(const ModelConfig& config) {
  require_text(config, "hidden_act", "silu");
  DeepseekConfig result{.decoder = DecoderConfig::read(config, OutputLayer::kOwn),
                        .attention = LatentAttentionConfig::read(config),
                        .width = config.integer("intermediate_size"),
                        .mixture = {},
                        .has_experts = {}};
  const int64_t layers = result.decoder.layers;
  result.has_experts.assign(static_cast<size_t>(layers), false);
  if (!config.has("n_routed_experts")) return result;
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

void DeepseekConfig::read_indexer(const ModelConfig& config, RopeTable::Pairs pairs) {
  if (config.has("indexer_types") &&
      std::ranges::any_of(config.texts("indexer_types"), [](const auto& t) { return t != "full"; }))
    fail(ErrorKind::kUnsupported, "{}: indexer_types: layers that share a selection",
         config.what());
  attention.indexer = {.hidden = decoder.hidden,
                       .query_rank = config.integer("q_lora_rank"),
                       .heads = config.integer("index_n_heads"),
                       .head_dim = config.integer("index_head_dim"),
                       .count = config.integer("index_topk"),
                       .rope = attention.rope};
  attention.indexer->rope.pairs = pairs;
}

std::unique_ptr<Model> make_deepseek(LayerLoader load, const DeepseekConfig& config) {
  load.ignore_layers_from(config.decoder.layers);  // those predict tokens after the next
  return std::make_unique<Decoder<Layer>>(load, config.decoder, [&](LayerLoader at, int64_t index) {
    return make_layer(std::move(at), config, index);
  });
}

}  // namespace strake
