#include "models/dense.h"

#include "models/fields.h"
#include "models/grouped.h"
#include "nn/mlp.h"

namespace strake {

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
  return make_grouped<GatedMlp>(
      std::move(load), config.decoder, config.attention, [&](const LayerLoader& at, int64_t) {
        return GatedMlp(at.at("mlp"), config.decoder.hidden, config.width, config.mlp_bias);
      });
}

}  // namespace strake
