#include "models/deepseek_v32.h"

#include "models/deepseek.h"

namespace strake {

std::unique_ptr<Model> make_deepseek_v32(LayerLoader load) {
  auto config = DeepseekConfig::read_v3(load.config());
  config.read_indexers(load.config(), RopeTable::Pairs::kHalves);
  return make_deepseek(std::move(load), config);
}

}  // namespace strake
