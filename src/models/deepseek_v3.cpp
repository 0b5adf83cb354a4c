#include "models/deepseek_v3.h"

#include "models/deepseek.h"

namespace strake {

std::unique_ptr<Model> make_deepseek_v3(LayerLoader load) {
  return make_deepseek(load, DeepseekConfig::read_v3(load.config()));
}

}  // namespace strake
