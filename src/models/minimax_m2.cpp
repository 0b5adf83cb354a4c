#include "models/minimax_m2.h"

#include "models/fields.h"
#include "models/sparse.h"
#include "nn/rope.h"

namespace strake {

std::unique_ptr<Model> make_minimax_m2(LayerLoader load) {
  const ModelConfig& json = load.config();
  require_text(json, "qk_norm_type", "per_layer");
  require_text(json, "scoring_func", "sigmoid");
  constexpr double kTheta = 5e6;
  auto config =
      SparseConfig::read(json, kTheta, "intermediate_size", RoutingRule::Scores::kSigmoid);
  for (AttentionConfig& attention : config.attention) {
    if (json.flag_or("use_qk_norm", true))
      attention.norms = HeadNorms{.eps = config.decoder.eps, .span = NormSpan::kAllHeads};
    if (json.has("rotary_dim"))
      attention.rope = make_rope(json, json.integer("rotary_dim"), kTheta);
  }
  RouterConfig& router = config.mixture.router;
  router.kind = Gate::kRouter;
  router.correction = "e_score_correction_bias";
  router.rule.weights = RoutingRule::Weights::kNormalized;
  config.feed = "block_sparse_moe";
  return make_sparse(std::move(load), config);
}

}  // namespace strake
