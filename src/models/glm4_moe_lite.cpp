#include "models/glm4_moe_lite.h"

#include "models/deepseek.h"

namespace strake {

std::unique_ptr<Model> make_glm4_moe_lite(LayerLoader load) {
  return make_deepseek(load, DeepseekConfig::read_v3(load.config()));
}

}  // namespace strake
