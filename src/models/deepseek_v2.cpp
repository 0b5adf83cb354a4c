#include "models/deepseek_v2.h"

#include "base/fail.h"
#include "models/deepseek.h"

namespace strake {

// Experts by softmax, without correction; their weights are never normalized, whatever
// norm_topk_prob says. MLX keeps kv_b_proj whole.
std::unique_ptr<Model> make_deepseek_v2(LayerLoader load) {
  const ModelConfig& fields = load.config();
  auto config = DeepseekConfig::read(fields);
  config.attention.projections = HeadProjections::kWhole;
  config.mixture.router.correction = {};
  RoutingRule& rule = config.mixture.router.rule;
  rule.scores = RoutingRule::Scores::kSoftmax;
  rule.weights = RoutingRule::Weights::kScores;
  rule.group_terms = 1;
  const std::string method = fields.text_or("topk_method", "greedy");
  if (method == "greedy")
    rule.groups = rule.chosen_groups = 1;
  else if (method != "group_limited_greedy")
    fail(ErrorKind::kUnsupported,
         "{}: topk_method: greedy or group_limited_greedy expected, found {}", fields.what(),
         method);
  return make_deepseek(std::move(load), config);
}

}  // namespace strake
