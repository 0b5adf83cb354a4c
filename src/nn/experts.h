// Experts of a mixture: gated feed-forward blocks of which each token uses a few.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "nn/router.h"

namespace strake {

struct ExpertsConfig {
  int64_t hidden;
  int64_t width;  // of one expert
  int64_t experts;
  int64_t chosen;  // for each token
  Bias bias = Bias::kNone;
  Activation activation = Activation::kSilu;
};

// Ranks divide the width of every expert, or the experts (LayerLoader::expert_division()).
class Experts {
 public:
  // gate_proj, up_proj and down_proj, each a stack of matrices, below the loader's path.
  Experts(LayerLoader load, const ExpertsConfig& config);

  // x [rows, hidden] -> float32 [rows, hidden]: the weighted sum of each row's experts, the same
  // bits for every number of ranks.
  Tensor forward(Context& context, const Tensor& x, const Routing& routing) const {
    return finish(context, unfinished(context, x, routing));
  }
  UnfinishedSum unfinished(Context& context, const Tensor& x, const Routing& routing) const;

 private:
  struct Parts;  // how they divide
  Experts(LayerLoader& load, const ExpertsConfig& config, const Parts& parts);
  // Of gate or up, what gather_matmul_each() is to do, and the rows that came of it.
  JointProduct product(const Context& context, const StackedLinear& stack) const;
  Tensor projected(Context& context, const JointProduct& product, const StackedLinear& stack,
                   const DispatchedRows& rows) const;

  Activation activation_;
  Mixture::Axis axis_;  // that ranks divide: the width, or the experts
  std::vector<HeldRows> held_;
  Reduction reduction_;
  SumTree hidden_;  // inputs of gate and up, which are not divided
  StackedLinear gate_, up_, down_;
  std::optional<Weight> down_biases_;  // [hidden, experts], of all experts
  SumTree experts_;                    // its inputs
};

}  // namespace strake
