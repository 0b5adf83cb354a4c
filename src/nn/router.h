// What decides which experts each token goes to.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "nn/layer_loader.h"

namespace strake {

// How a checkpoint holds the router's matrix.
enum class Gate {
  kLinear,  // a linear layer like others
  kRouter,  // one that stays at eight bits when others get fewer
  kTensor,  // a lone tensor, never quantized
};

struct RouterConfig {
  int64_t hidden;
  RoutingRule rule;
  std::string_view gate = "gate";
  Gate kind = Gate::kLinear;
  Bias bias = Bias::kNone;
  std::string_view correction = {};  // name of the tensor; empty: there is none
};

// Every rank holds the whole router and decides by itself.
class Router {
 public:
  // The gate, and the correction where there is one, below the loader's path.
  Router(LayerLoader load, const RouterConfig& config);

  // x [rows, hidden].
  Routing forward(Context& context, const Tensor& x) const;

 private:
  RoutingRule rule_;
  Linear gate_;
  std::optional<Tensor> correction_;  // float32
};

}  // namespace strake
