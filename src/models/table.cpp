#include <fmt/ranges.h>

#include <vector>

#include "base/fail.h"
#include "models/deepseek_v2.h"
#include "models/deepseek_v3.h"
#include "models/deepseek_v32.h"
#include "models/gemma3_text.h"
#include "models/glm4_moe.h"
#include "models/glm4_moe_lite.h"
#include "models/glm_moe_dsa.h"
#include "models/gpt_oss.h"
#include "models/llama.h"
#include "models/minimax_m2.h"
#include "models/ministral3.h"
#include "models/mistral.h"
#include "models/mixtral.h"
#include "models/model.h"
#include "models/qwen2.h"
#include "models/qwen3.h"
#include "models/qwen3_moe.h"
#include "models/smollm3.h"

namespace strake {
namespace {

constexpr ModelEntry kModels[] = {
    {"llama", make_llama, "Llama 2 to 3.3, SmolLM2 and others of its shape"},
    {"mistral", make_mistral, "Mistral 7B, Nemo, Small"},
    {"ministral3", make_ministral3, "Ministral 3"},
    {"qwen2", make_qwen2, "Qwen2, Qwen2.5"},
    {"qwen3", make_qwen3, "Qwen3, the dense ones"},
    {"smollm3", make_smollm3, "SmolLM3"},
    {"gemma3_text", make_gemma3_text, "Gemma 3, its text model"},
    {"qwen3_moe", make_qwen3_moe, "Qwen3, those with experts"},
    {"mixtral", make_mixtral, "Mixtral 8x7B, 8x22B"},
    {"gpt_oss", make_gpt_oss, "gpt-oss 20B, 120B"},
    {"glm4_moe", make_glm4_moe, "GLM-4.5 to 4.7"},
    {"minimax_m2", make_minimax_m2, "MiniMax-M2, M2.1"},
    {"deepseek_v2", make_deepseek_v2, "DeepSeek-V2, V2.5, their Lite and Coder"},
    {"deepseek_v3", make_deepseek_v3, "DeepSeek-V3, R1, V3.1"},
    {"kimi_k2", make_deepseek_v3, "Kimi K2"},
    {"glm4_moe_lite", make_glm4_moe_lite, "GLM-4.7-Flash"},
    {"deepseek_v32", make_deepseek_v32, "DeepSeek-V3.2"},
    {"glm_moe_dsa", make_glm_moe_dsa, "GLM-5"},
};

}  // namespace

std::span<const ModelEntry> known_models() { return kModels; }

std::unique_ptr<Model> load_model(ModelSource& source, LayerLoader load) {
  const std::string type = source.config().text("model_type");
  std::vector<std::string_view> names;
  for (const ModelEntry& entry : kModels) {
    names.push_back(entry.model_type);
    if (entry.model_type != type) continue;
    auto model = entry.make(load);
    source.require_all_used();
    return model;
  }
  fail(ErrorKind::kUnsupported, "{}: model_type '{}' is not supported; known: {}",
       source.config().what(), type, fmt::join(names, ", "));
}

}  // namespace strake
