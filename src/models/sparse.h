// Decoders of grouped-query attention and mixtures of experts, with gated MLPs in some layers.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "models/decoder.h"
#include "nn/attention.h"
#include "nn/sparse_mlp.h"

namespace strake {

struct SparseConfig {
  DecoderConfig decoder;
  std::vector<AttentionConfig> attention;  // by layer
  SparseMlpConfig mixture;
  std::string_view feed = "mlp";  // where a layer's feed-forward block is
  // Which layers have a plain MLP, and how wide that is.
  std::function<bool(int64_t)> is_dense = [](int64_t) { return false; };
  int64_t dense_width = 0;

  // What config.json says, and for what it leaves out, these; `width` is its field for an expert's.
  // Untied output layers are the default.
  static SparseConfig read(const ModelConfig& config, double default_theta, std::string_view width,
                           RoutingRule::Scores scores);

  // Layers without layer_types slide as `slides` says.
  void read_windows(const ModelConfig& config, const std::function<bool(int64_t)>& slides);
};

std::unique_ptr<Model> make_sparse(LayerLoader load, const SparseConfig& config);

}  // namespace strake
