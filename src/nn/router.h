// Which experts each token goes to, and with which weights.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/recycled.h"
#include "nn/layer_loader.h"

namespace strake {

// The experts of every row: `chosen` a row, ascending, and what their outputs are multiplied by.
struct Routing {
  int64_t chosen;
  Recycled<int32_t> experts;  // [rows * chosen]
  Recycled<float> weights;

  int64_t rows() const { return std::ssize(experts) / chosen; }
};

// How a row's logits become that.
struct RoutingRule {
  enum class Scores {
    kSoftmax,          // over all experts
    kSoftmaxOfChosen,  // the largest logits are chosen, weights are the softmax over those
    kSigmoid,
  };
  enum class Weights { kScores, kNormalized };  // as they are, or divided by their sum

  int64_t experts;
  int64_t chosen;
  Scores scores;
  Weights weights = Weights::kScores;
  float scale = 1;  // of the weights
  // Experts come in groups of equal size; only those of the best groups are chosen. A group is as
  // good as its `group_terms` best experts together.
  int64_t groups = 1;
  int64_t chosen_groups = 1;
  int64_t group_terms = 2;

  // Throws Error(kCheckpoint) that names `what`: more chosen than there are, groups of parts.
  void check(std::string_view what) const;
};

// logits float32 [rows, experts]. `correction` [experts], or empty, is added to the scores to
// choose by, not to the weights. Of equal ones the lowest index is chosen. Uses additions and
// multiplications alone, so that ranks on unlike machines decide alike. Throws Error(kUsage) for a
// logit that is not a number.
Routing route(const RoutingRule& rule, const Tensor& logits, std::span<const float> correction);

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
