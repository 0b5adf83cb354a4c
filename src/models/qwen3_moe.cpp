#include "models/qwen3_moe.h"

#include <algorithm>

#include "models/sparse.h"

namespace strake {

std::unique_ptr<Model> make_qwen3_moe(LayerLoader load) {
  const ModelConfig& json = load.config();
  auto config =
      SparseConfig::read(json, 1e4, "moe_intermediate_size", RoutingRule::Scores::kSoftmax);
  for (AttentionConfig& attention : config.attention)
    attention.norms = HeadNorms{config.decoder.eps};
  if (json.flag_or("use_sliding_window", false))
    config.read_windows(json, [](int64_t) { return true; });
  RouterConfig& router = config.mixture.router;
  router.kind = Gate::kRouter;
  if (json.flag_or("norm_topk_prob", false))
    router.rule.weights = RoutingRule::Weights::kNormalized;
  config.dense_width = json.integer("intermediate_size");
  const int64_t step = json.integer_or("decoder_sparse_step", 1);
  config.is_dense = [step, dense = json.integers("mlp_only_layers")](int64_t index) {
    return (index + 1) % step != 0 || std::ranges::find(dense, index) != dense.end();
  };
  return make_sparse(std::move(load), config);
}

}  // namespace strake
