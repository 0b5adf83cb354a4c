#include "models/dense.h"

#include "models/fields.h"
#include "nn/block.h"
#include "nn/mlp.h"

namespace strake {
namespace {

using Layer = PreNormBlock<Attention, GatedMlp>;

Layer make_layer(LayerLoader load, const DenseConfig& config, int64_t index) {
  const int64_t hidden = config.decoder.hidden;
  const float eps = config.decoder.eps;
  load.ignore("self_attn.rotary_emb.inv_freq");
  return Layer{load, load.rms_norm("input_layernorm", hidden, eps),
               Attention(load.at("self_attn"), config.attention[static_cast<size_t>(index)]),
               load.rms_norm("post_attention_layernorm", hidden, eps),
               GatedMlp(load.at("mlp"), hidden, config.width, config.mlp_bias)};
}

}  // namespace

DenseConfig DenseConfig::read(const ModelConfig& config, double default_theta, OutputLayer output) {
  require_text(config, "hidden_act", "silu");
  DenseConfig dense{.decoder = DecoderConfig::read(config, output),
                    .attention = {},
                    .width = config.integer("intermediate_size"),
                    .mlp_bias = config.flag_or("mlp_bias", false) ? Bias::kPresent : Bias::kNone};
  dense.attention.assign(static_cast<size_t>(dense.decoder.layers),
                         read_attention(config, default_theta));
  return dense;
}

void DenseConfig::read_windows(const ModelConfig& config,
                               const std::function<bool(int64_t)>& slides) {
  const auto windows = strake::read_windows(config, decoder.layers, slides);
  for (size_t i = 0; i < windows.size(); ++i) attention[i].window = windows[i];
}

void DenseConfig::read_upper_windows(const ModelConfig& config) {
  if (!config.flag_or("use_sliding_window", false)) return;
  const int64_t first =
      config.has("max_window_layers") ? config.integer("max_window_layers", 0) : 28;
  read_windows(config, [&](int64_t index) { return index >= first; });
}

std::unique_ptr<Model> make_dense(LayerLoader load, const DenseConfig& config) {
  return std::make_unique<Decoder<Layer>>(load, config.decoder, [&](LayerLoader at, int64_t index) {
    return make_layer(std::move(at), config, index);
  });
}

}  // namespace strake
