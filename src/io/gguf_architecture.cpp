#include "io/gguf_architecture.h"

#include <charconv>

#include "base/fail.h"

namespace strake {
namespace {

constexpr ModuleName kDenseModules[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

constexpr ModuleName kQwen3Modules[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"},
    {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

constexpr ModuleName kQwen3MoeModules[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate_inp", "mlp.gate"},
    {"ffn_gate_exps", "mlp.switch_mlp.gate_proj"},
    {"ffn_up_exps", "mlp.switch_mlp.up_proj"},
    {"ffn_down_exps", "mlp.switch_mlp.down_proj"},
};

constexpr ModuleName kModelModules[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
};

constexpr GgufArchitecture kArchitectures[] = {
    {"llama", "llama", "LlamaForCausalLM", HeadRows::kInterleaved, kDenseModules},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", HeadRows::kPlain, kDenseModules},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", HeadRows::kPlain, kQwen3Modules},
    {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", HeadRows::kPlain, kQwen3MoeModules},
};

const ModuleName* find_module(std::span<const ModuleName> modules, std::string_view name) {
  for (const ModuleName& module : modules)
    if (module.gguf == name) return &module;
  return nullptr;
}

}  // namespace

const GgufArchitecture& find_gguf_architecture(std::string_view name) {
  std::string known;
  for (const GgufArchitecture& architecture : kArchitectures) {
    if (architecture.name == name) return architecture;
    known += (known.empty() ? "" : ", ") + std::string(architecture.name);
  }
  fail(ErrorKind::kUnsupported, "general.architecture: one of {} expected, found '{}'", known,
       name);
}

std::optional<ModuleTensor> translate_gguf_name(const GgufArchitecture& architecture,
                                                std::string_view tensor) {
  const size_t dot = tensor.rfind('.');
  if (dot == tensor.npos) return std::nullopt;
  const std::string_view part = tensor.substr(dot + 1);
  std::string_view path = tensor.substr(0, dot);
  if (part != "weight" && part != "bias") return std::nullopt;
  constexpr std::string_view kLayer = "blk.";
  if (!path.starts_with(kLayer)) {
    const ModuleName* module = find_module(kModelModules, path);
    if (module == nullptr) return std::nullopt;
    return ModuleTensor{std::string(module->checkpoint), std::string(part), std::nullopt,
                        std::string(module->gguf)};
  }
  path.remove_prefix(kLayer.size());
  int32_t layer = 0;
  const auto [end, error] = std::from_chars(path.data(), path.data() + path.size(), layer);
  const auto digits = static_cast<size_t>(end - path.data());
  if (error != std::errc() || layer < 0 || digits == path.size() || path[digits] != '.')
    return std::nullopt;
  const ModuleName* module = find_module(architecture.layer_modules, path.substr(digits + 1));
  if (module == nullptr) return std::nullopt;
  return ModuleTensor{fmt::format("model.layers.{}.{}", layer, module->checkpoint),
                      std::string(part), layer, std::string(module->gguf)};
}

}  // namespace strake
