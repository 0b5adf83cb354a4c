#include <fmt/ranges.h>

#include <vector>

#include "base/fail.h"
#include "models/llama.h"
#include "models/model.h"

namespace strake {
namespace {

constexpr ModelEntry kModels[] = {
    {"llama", make_llama},
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
