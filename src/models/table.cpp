#include <fmt/ranges.h>

#include <vector>

#include "base/fail.h"
#include "models/gemma3_text.h"
#include "models/glm4_moe.h"
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
    {"llama", make_llama},
    {"mistral", make_mistral},
    {"ministral3", make_ministral3},
    {"qwen2", make_qwen2},
    {"qwen3", make_qwen3},
    {"smollm3", make_smollm3},
    {"gemma3_text", make_gemma3_text},
    {"qwen3_moe", make_qwen3_moe},
    {"mixtral", make_mixtral},
    {"gpt_oss", make_gpt_oss},
    {"glm4_moe", make_glm4_moe},
    {"minimax_m2", make_minimax_m2},
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
