#include "models/glm_moe_dsa.h"

#include "models/deepseek.h"

namespace strake {

std::unique_ptr<Model> make_glm_moe_dsa(LayerLoader load) {
  auto config = DeepseekConfig::read_v3(load.config());
  config.read_indexers(load.config(), RopeTable::Pairs::kAdjacent);
  return make_deepseek(std::move(load), config);
}

}  // namespace strake
