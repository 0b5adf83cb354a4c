#include "models/glm4_moe.h"

#include "models/sparse.h"

namespace strake {

std::unique_ptr<Model> make_glm4_moe(LayerLoader load) {
  const ModelConfig& json = load.config();
  auto config =
      SparseConfig::read(json, 1e4, "moe_intermediate_size", RoutingRule::Scores::kSigmoid);
  for (AttentionConfig& attention : config.attention) {
    attention.output_bias = Bias::kNone;
    if (json.flag_or("use_qk_norm", false)) attention.norms = HeadNorms{config.decoder.eps};
  }
  RouterConfig& router = config.mixture.router;
  router.kind = Gate::kTensor;
  router.correction = "gate.e_score_correction_bias";
  if (json.flag_or("norm_topk_prob", true)) router.rule.weights = RoutingRule::Weights::kNormalized;
  router.rule.scale = static_cast<float>(json.number_or("routed_scaling_factor", 1.0));
  router.rule.groups = json.integer_or("n_group", 1);
  router.rule.chosen_groups = json.integer_or("topk_group", 1);
  config.mixture.shared_width =
      config.mixture.experts.width * json.integer_or("n_shared_experts", 0);
  config.dense_width = json.integer("intermediate_size");
  config.is_dense = [first = json.integer("first_k_dense_replace", 0)](int64_t index) {
    return index < first;
  };
  load.ignore_layers_from(config.decoder.layers);  // that predict further tokens
  return make_sparse(std::move(load), config);
}

}  // namespace strake
