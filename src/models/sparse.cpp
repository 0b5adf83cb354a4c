#include "models/sparse.h"

#include <utility>

#include "models/fields.h"
#include "nn/block.h"

namespace strake {
namespace {

using Layer = PreNormBlock<Attention, SparseMlp, GatedMlp>;
using Feed = std::variant<SparseMlp, GatedMlp>;

Feed make_feed(const LayerLoader& load, const SparseConfig& config, int64_t index) {
  if (config.is_dense(index))
    return GatedMlp(load.at(config.feed), config.decoder.hidden, config.dense_width, Bias::kNone);
  return SparseMlp(load.at(config.feed), config.mixture);
}

Layer make_layer(LayerLoader load, const SparseConfig& config, int64_t index) {
  const int64_t hidden = config.decoder.hidden;
  const float eps = config.decoder.eps;
  load.ignore("self_attn.rotary_emb.inv_freq");
  return Layer{load, load.rms_norm("input_layernorm", hidden, eps),
               Attention(load.at("self_attn"), config.attention[static_cast<size_t>(index)]),
               load.rms_norm("post_attention_layernorm", hidden, eps),
               make_feed(load, config, index)};
}

}  // namespace

SparseConfig SparseConfig::read(const ModelConfig& config, double default_theta,
                                const MixtureSize& size, RoutingRule::Scores scores) {
  require_text(config, "hidden_act", "silu");
  const auto decoder = DecoderConfig::read(config, OutputLayer::kOwn);
  const int64_t chosen = config.integer("num_experts_per_tok");
  return {
      .decoder = decoder,
      .attention =
          std::vector(static_cast<size_t>(decoder.layers), read_attention(config, default_theta)),
      .mixture = {.router = {.hidden = decoder.hidden,
                             .rule = {.experts = size.experts, .chosen = chosen, .scores = scores}},
                  .experts = {.hidden = decoder.hidden,
                              .width = size.width,
                              .experts = size.experts,
                              .chosen = chosen}}};
}

void SparseConfig::read_windows(const ModelConfig& config,
                                const std::function<bool(int64_t)>& slides) {
  const auto windows = strake::read_windows(config, decoder.layers, slides);
  for (size_t i = 0; i < windows.size(); ++i) attention[i].window = windows[i];
}

std::unique_ptr<Model> make_sparse(LayerLoader load, const SparseConfig& config) {
  return std::make_unique<Decoder<Layer>>(load, config.decoder, [&](LayerLoader at, int64_t index) {
    return make_layer(std::move(at), config, index);
  });
}

}  // namespace strake
