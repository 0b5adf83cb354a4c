// Decoders of latent attention and mixtures of experts: DeepSeek (arXiv:2405.04434, 2412.19437,
// 2512.02556) and what shares its layers.
#pragma once

#include <vector>

#include "models/decoder.h"
#include "nn/latent_attention.h"
#include "nn/sparse_mlp.h"

namespace strake {

struct DeepseekConfig {
  DecoderConfig decoder;
  LatentAttentionConfig attention;
  int64_t width;  // of dense layers' MLPs
  SparseMlpConfig mixture;
  std::vector<bool> has_experts;  // by layer
  std::vector<bool> has_indexer;  // likewise; where some have, others share what those selected

  // The fields that all share; experts are chosen as DeepSeek-V3 does.
  static DeepseekConfig read(const ModelConfig& config);
  // The same, where no field may say that they are chosen otherwise.
  static DeepseekConfig read_v3(const ModelConfig& config);
  // Adds the indexers of DeepSeek-V3.2. Their heads turn in these pairs, where no field says which.
  void read_indexers(const ModelConfig& config, RopeTable::Pairs pairs);
};

std::unique_ptr<Model> make_deepseek(LayerLoader load, const DeepseekConfig& config);

}  // namespace strake
