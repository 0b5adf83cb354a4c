// Decoders of grouped-query attention and gated MLPs: Llama (arXiv:2302.13971, 2407.21783) and what
// shares its layers.
#pragma once

#include <vector>

#include "models/decoder.h"
#include "nn/attention.h"

namespace strake {

struct DenseConfig {
  DecoderConfig decoder;
  std::vector<AttentionConfig> attention;  // by layer
  int64_t width;                           // of the MLPs
  Bias mlp_bias;

  // What config.json says, and for what it leaves out, these. Windows are as layer_types says.
  static DenseConfig read(const ModelConfig& config, double default_theta, OutputLayer output);

  // Layers without layer_types slide as `slides` says.
  void read_windows(const ModelConfig& config, const std::function<bool(int64_t)>& slides);
  // As Qwen has them: with use_sliding_window alone, and from layer max_window_layers on.
  void read_upper_windows(const ModelConfig& config);
};

std::unique_ptr<Model> make_dense(LayerLoader load, const DenseConfig& config);

}  // namespace strake
