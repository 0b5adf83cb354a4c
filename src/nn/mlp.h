// The gated feed-forward block (arXiv:2002.05202), its width divided over ranks.
#pragma once

#include <cstdint>

#include "nn/layer_loader.h"
#include "nn/projections.h"

namespace strake {

class GatedMlp {
 public:
  // gate_proj, up_proj and down_proj below the loader's path.
  GatedMlp(LayerLoader load, int64_t hidden, int64_t width, Bias bias,
           Activation activation = Activation::kSilu)
      : GatedMlp(load,
                 load.dimension(load.path("down_proj") + ", inputs", width,
                                load.input_unit("down_proj", width)),
                 {hidden, bias, activation}) {}

  // x [rows, hidden] -> float32 [rows, hidden].
  Tensor forward(Context& context, const Tensor& x) const {
    return finish(context, unfinished(context, x));
  }
  UnfinishedSum unfinished(Context& context, const Tensor& x) const {
    const auto [gate, up] =
        project(context, x, {{gate_, context.activations}, {up_, context.activations}});
    return down_.unfinished(context, context.backend.gated(gate, up, activation_));
  }

 private:
  struct Config {
    int64_t hidden;
    Bias bias;
    Activation activation;
  };
  GatedMlp(LayerLoader& load, const Dimension& width, const Config& config)
      : activation_(config.activation),
        gate_(load.all_to_sharded("gate_proj", config.hidden, load.divide(width), config.bias)),
        up_(load.all_to_sharded("up_proj", config.hidden, load.divide(width), config.bias)),
        down_(load.sharded_to_all("down_proj", width, config.hidden, config.bias)) {}

  Activation activation_;
  Linear gate_, up_, down_;
};

}  // namespace strake
