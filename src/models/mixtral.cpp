#include "models/mixtral.h"

#include "models/sparse.h"

namespace strake {

std::unique_ptr<Model> make_mixtral(LayerLoader load) {
  const ModelConfig& json = load.config();
  auto config =
      SparseConfig::read(json, 1e6, "intermediate_size", RoutingRule::Scores::kSoftmaxOfChosen);
  config.feed = "block_sparse_moe";
  config.read_windows(json, [](int64_t) { return true; });
  return make_sparse(std::move(load), config);
}

}  // namespace strake
