#include "models/glm4_moe_lite.h"

#include "models/deepseek.h"
#include "models/fields.h"

namespace strake {

std::unique_ptr<Model> make_glm4_moe_lite(LayerLoader load) {
  require_text(load.config(), "topk_method", "noaux_tc");
  require_text(load.config(), "scoring_func", "sigmoid");
  const auto config = DeepseekConfig::read(load.config());
  return make_deepseek(std::move(load), config);
}

}  // namespace strake
