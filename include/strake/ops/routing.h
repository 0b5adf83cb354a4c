// Which experts each token goes to, and with which weights.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "strake/ops/mixture.h"
#include "strake/tensor/tensor.h"

namespace strake {

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

// The experts of every row, and what their outputs are multiplied by.
struct Routing {
  Tensor experts;  // int32 [rows, chosen], ascending
  Tensor weights;  // float32 [rows, chosen]

  int64_t rows() const { return experts.shape()[0]; }
  int64_t chosen() const { return experts.shape()[1]; }
};

// The rows of a mixture that a rank computes, as Backend::dispatch() has made them of a routing.
class DispatchedRows {
 public:
  virtual ~DispatchedRows() = default;
  // As products take them from the host. Experts are counted among those that the rank holds.
  // Throws NotRecordable where they would have to come from a device first.
  virtual GatherIndices indices() const = 0;
  virtual Mixture mixture(Mixture::Axis axis) const = 0;
};

}  // namespace strake
