#include "nn/router.h"

#include "base/fail.h"

namespace strake {
namespace {

// A lone tensor as the linear layer that it is.
Linear make_gate(LayerLoader& load, const RouterConfig& config) {
  const Shape shape{config.rule.experts, config.hidden};
  switch (config.kind) {
    case Gate::kLinear:
      return load.whole(config.gate, shape, config.bias);
    case Gate::kRouter:
      return load.whole(config.gate, shape, config.bias, ModuleKind::kRouter);
    case Gate::kTensor:
      return Linear(load.prepared(load.tensor(std::string(config.gate) + ".weight", shape)));
  }
  fail(ErrorKind::kInternal, "{}: no such gate", load.path(config.gate));
}

}  // namespace

Router::Router(LayerLoader load, const RouterConfig& config)
    : rule_(config.rule), gate_(make_gate(load, config)) {
  rule_.check(load.path(config.gate));
  if (config.correction.empty()) return;
  correction_ = load.floats(config.correction, {rule_.experts});
}

Routing Router::forward(Context& context, const Tensor& x) const {
  const auto correction = correction_ ? correction_->data<float>() : std::span<const float>();
  return context.backend.route(gate_.forward(context, x, DType::kF32), rule_, correction);
}

}  // namespace strake
