#include "models/shapes.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/fail.h"
#include "models/fields.h"

namespace strake {
namespace {

constexpr ModelShape kShapes[] = {
    {"smollm2-135m", "SmolLM2 135M", R"({"model_type": "llama", "hidden_size": 576,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "head_dim": 64, "intermediate_size": 1536, "vocab_size": 49152, "rms_norm_eps": 1e-5,
        "rope_theta": 100000.0, "tie_word_embeddings": true})"},
    {"llama-1b", "Llama 3.2 1B", R"({"model_type": "llama", "hidden_size": 2048,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8,
        "head_dim": 64, "intermediate_size": 8192, "vocab_size": 128256, "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 32.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
        "tie_word_embeddings": true})"},
    {"llama-3b", "Llama 3.2 3B", R"({"model_type": "llama", "hidden_size": 3072,
        "num_hidden_layers": 28, "num_attention_heads": 24, "num_key_value_heads": 8,
        "head_dim": 128, "intermediate_size": 8192, "vocab_size": 128256, "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 32.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
        "tie_word_embeddings": true})"},
    {"llama-8b", "Llama 3.1 8B", R"({"model_type": "llama", "hidden_size": 4096,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "head_dim": 128, "intermediate_size": 14336, "vocab_size": 128256, "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
        "tie_word_embeddings": false})"},
    {"llama-70b", "Llama 3.1 70B", R"({"model_type": "llama", "hidden_size": 8192,
        "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
        "head_dim": 128, "intermediate_size": 28672, "vocab_size": 128256, "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
        "tie_word_embeddings": false})"},
    {"llama-405b", "Llama 3.1 405B", R"({"model_type": "llama", "hidden_size": 16384,
        "num_hidden_layers": 126, "num_attention_heads": 128, "num_key_value_heads": 8,
        "head_dim": 128, "intermediate_size": 53248, "vocab_size": 128256, "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
        "tie_word_embeddings": false})"},
    {"qwen3-30b-a3b", "Qwen3 30B-A3B", R"({"model_type": "qwen3_moe", "hidden_size": 2048,
        "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4,
        "head_dim": 128, "intermediate_size": 6144, "moe_intermediate_size": 768,
        "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": true,
        "vocab_size": 151936, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
        "tie_word_embeddings": false})"},
    {"deepseek-v3", "DeepSeek-V3", R"({"model_type": "deepseek_v3", "hidden_size": 7168,
        "num_hidden_layers": 61, "num_attention_heads": 128, "q_lora_rank": 1536,
        "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "intermediate_size": 18432, "first_k_dense_replace": 3, "moe_intermediate_size": 2048,
        "n_routed_experts": 256, "num_experts_per_tok": 8, "n_shared_experts": 1, "n_group": 8,
        "topk_group": 4, "norm_topk_prob": true, "routed_scaling_factor": 2.5,
        "vocab_size": 129280, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "max_position_embeddings": 163840, "rope_scaling": {"type": "yarn", "factor": 40,
        "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 4096}, "tie_word_embeddings": false})"},
    {"glm-5", "GLM-5", R"({"model_type": "glm_moe_dsa", "hidden_size": 6144,
        "num_hidden_layers": 78, "num_attention_heads": 64, "q_lora_rank": 2048,
        "kv_lora_rank": 512, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256,
        "index_n_heads": 32, "index_head_dim": 128, "index_topk": 2048,
        "intermediate_size": 12288, "first_k_dense_replace": 3, "moe_intermediate_size": 2048,
        "n_routed_experts": 256, "num_experts_per_tok": 8, "n_shared_experts": 1, "n_group": 1,
        "topk_group": 1, "norm_topk_prob": true, "routed_scaling_factor": 2.5,
        "vocab_size": 154880, "rms_norm_eps": 1e-5, "max_position_embeddings": 202752,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
        "tie_word_embeddings": false})"},
};

constexpr const char* kDenseLayers = "first_k_dense_replace";

const ModelShape& find_shape(std::string_view name) {
  std::vector<std::string_view> names;
  for (const ModelShape& shape : kShapes) {
    if (shape.name == name) return shape;
    names.push_back(shape.name);
  }
  fail(ErrorKind::kUsage, "--shape: '{}' is not known; known: {}", name, fmt::join(names, ", "));
}

}  // namespace

std::span<const ModelShape> known_shapes() { return kShapes; }

ModelConfig shape_config(std::string_view name, const ShapeCut& cut,
                         const std::optional<Format>& format) {
  const ModelShape& shape = find_shape(name);
  const auto whole = ModelConfig::parse(shape.config, shape.name);
  Json json = whole.json();
  if (cut.layers) {
    const int64_t all = whole.integer("num_hidden_layers");
    if (*cut.layers < 1 || *cut.layers > all)
      fail(ErrorKind::kUsage, "--layers: 1 to {} expected for {}, found {}", all, name,
           *cut.layers);
    json["num_hidden_layers"] = *cut.layers;
    if (whole.has(kDenseLayers))
      json[kDenseLayers] = whole.integer(kDenseLayers) * *cut.layers / all;
  }
  if (cut.experts) {
    const auto field = experts_field(whole);
    if (!field) fail(ErrorKind::kUsage, "--routed-experts: {} has no experts", name);
    const int64_t all = whole.integer(*field);
    const int64_t least =
        std::max(whole.integer("num_experts_per_tok"), whole.integer_or("n_group", 1) * 2);
    if (*cut.experts < least || *cut.experts > all)
      fail(ErrorKind::kUsage, "--routed-experts: {} to {} expected for {}, found {}", least, all,
           name, *cut.experts);
    json[std::string(*field)] = *cut.experts;
  }
  if (format) json["quantization"] = format_json(*format);
  return ModelConfig::parse(dump_json(json), shape.name);
}

}  // namespace strake
