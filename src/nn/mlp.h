// The gated feed-forward block (SwiGLU, arXiv:2002.05202), its width divided over ranks.
#pragma once

#include <cstdint>

#include "nn/layer_loader.h"

namespace strake {

class GatedMlp {
 public:
  // gate_proj, up_proj and down_proj below the loader's path.
  GatedMlp(LayerLoader load, int64_t hidden, int64_t width, Bias bias)
      : GatedMlp(load,
                 Dimension(load.path("down_proj") + ", inputs", width,
                           load.input_unit("down_proj", width)),
                 hidden, bias) {}

  // x [rows, hidden] -> float32 [rows, hidden].
  Tensor forward(Context& context, const Tensor& x) const {
    const Tensor gate = gate_.forward(context, x, context.activations);
    const Tensor up = up_.forward(context, x, context.activations);
    return down_.forward(context, context.backend.swiglu(gate, up), DType::kF32);
  }

 private:
  GatedMlp(LayerLoader& load, const Dimension& width, int64_t hidden, Bias bias)
      : gate_(load.all_to_sharded("gate_proj", hidden, load.divide(width), bias)),
        up_(load.all_to_sharded("up_proj", hidden, load.divide(width), bias)),
        down_(load.sharded_to_all("down_proj", width, hidden, bias)) {}

  Linear gate_, up_, down_;
};

}  // namespace strake
