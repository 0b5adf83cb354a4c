// The feed-forward block of a mixture of experts (arXiv:1701.06538).
#pragma once

#include <optional>
#include <string_view>

#include "nn/experts.h"
#include "nn/mlp.h"
#include "nn/router.h"

namespace strake {

struct SparseMlpConfig {
  RouterConfig router;
  ExpertsConfig experts;
  std::string_view stack = "switch_mlp";  // where the experts are
  int64_t shared_width = 0;               // of what every token uses besides: shared_experts
};

class SparseMlp {
 public:
  // The router, the experts and what is shared, below the loader's path.
  SparseMlp(LayerLoader load, const SparseMlpConfig& config)
      : router_(load, config.router), experts_(load.at(config.stack), config.experts) {
    if (config.shared_width > 0)
      shared_.emplace(load.at("shared_experts"), config.experts.hidden, config.shared_width,
                      Bias::kNone, config.experts.activation);
  }

  // x [rows, hidden] -> float32 [rows, hidden].
  Tensor forward(Context& context, const Tensor& x) const {
    const Routing routing = router_.forward(context, x);
    if (!shared_) return experts_.forward(context, x, routing);
    // What does not depend on the routing is queued first: its weights come meanwhile.
    const UnfinishedSum shared = shared_->unfinished(context, x);
    return finish_both(context, experts_.unfinished(context, x, routing), shared);
  }

 private:
  Router router_;
  Experts experts_;
  std::optional<GatedMlp> shared_;
};

}  // namespace strake
