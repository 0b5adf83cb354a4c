#include "models/deepseek_v32.h"

#include "models/deepseek.h"
#include "models/fields.h"

namespace strake {

std::unique_ptr<Model> make_deepseek_v32(LayerLoader load) {
  require_text(load.config(), "topk_method", "noaux_tc");
  require_text(load.config(), "scoring_func", "sigmoid");
  auto config = DeepseekConfig::read(load.config());
  const bool adjacent = load.config().flag_or("indexer_rope_interleave", false);
  config.read_indexer(load.config(),
                      adjacent ? RopeTable::Pairs::kAdjacent : RopeTable::Pairs::kHalves);
  return make_deepseek(std::move(load), config);
}

}  // namespace strake
