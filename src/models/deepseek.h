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

  // The fields that all share; experts are chosen as DeepSeek-V3 does.
  static DeepseekConfig read(const ModelConfig& config);
  // Adds the indexer of DeepSeek-V3.2, whose heads turn in these pairs.
  void read_indexer(const ModelConfig& config, RopeTable::Pairs pairs);
};

std::unique_ptr<Model> make_deepseek(LayerLoader load, const DeepseekConfig& config);

}  // namespace strake
