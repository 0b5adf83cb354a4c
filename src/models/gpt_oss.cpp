#include "models/gpt_oss.h"

#include "base/fail.h"
#include "models/sparse.h"

namespace strake {
namespace {

constexpr double kLimit = 7;  // of what experts are given: Activation::kClampedSwiglu's

}  // namespace

std::unique_ptr<Model> make_gpt_oss(LayerLoader load) {
  const ModelConfig& json = load.config();
  auto config =
      SparseConfig::read(json, 150000, "intermediate_size", RoutingRule::Scores::kSoftmaxOfChosen);
  if (json.number_or("swiglu_limit", kLimit) != kLimit)
    fail(ErrorKind::kUnsupported, "{}: swiglu_limit: {} expected, found {}", json.what(), kLimit,
         json.number("swiglu_limit"));
  for (AttentionConfig& attention : config.attention) {
    attention.bias = attention.output_bias = Bias::kPresent;
    attention.sinks = Sinks::kPresent;
  }
  config.read_windows(json, [](int64_t index) { return index % 2 == 0; });
  config.mixture.router.gate = "router";
  config.mixture.router.kind = Gate::kRouter;
  config.mixture.router.bias = Bias::kPresent;
  config.mixture.stack = "experts";
  config.mixture.experts.bias = Bias::kPresent;
  config.mixture.experts.activation = Activation::kClampedSwiglu;
  return make_sparse(std::move(load), config);
}

}  // namespace strake
