#include <fmt/ranges.h>

#include <vector>

#include "base/fail.h"
#include "models/deepseek_v2.h"
#include "models/deepseek_v3.h"
#include "models/deepseek_v32.h"
#include "models/gemma3_text.h"
#include "models/glm4_moe_lite.h"
#include "models/glm_moe_dsa.h"
#include "models/llama.h"
#include "models/ministral3.h"
#include "models/mistral.h"
#include "models/model.h"
#include "models/qwen2.h"
#include "models/qwen3.h"
#include "models/smollm3.h"

namespace strake {
namespace {

constexpr ModelEntry kModels[] = {
    {"llama", make_llama},
    {"mistral", make_mistral},
    {"ministral3", make_ministral3},
    {"qwen2", make_qwen2},
    {"qwen3", make_qwen3},
    {"smollm3", make_smollm3},
    {"gemma3_text", make_gemma3_text},
    {"deepseek_v2", make_deepseek_v2},
    {"deepseek_v3", make_deepseek_v3},
    {"kimi_k2", make_deepseek_v3},
    {"glm4_moe_lite", make_glm4_moe_lite},
    {"deepseek_v32", make_deepseek_v32},
    {"glm_moe_dsa", make_glm_moe_dsa},
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
