// Which experts each token goes to, decided on the device. See src/nn/router.h.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace strake::cuda {

// See RoutingRule.
struct RouteRule {
  enum class Scores { kSoftmax, kSoftmaxOfChosen, kSigmoid };
  enum class Weights { kScores, kNormalized };
  int experts;
  int chosen;
  Scores scores;
  Weights weights = Weights::kScores;
  float scale = 1;
  int groups = 1;
  int chosen_groups = 1;
  int group_terms = 2;
};

struct RouteOut {
  int32_t* experts;  // [rows, chosen], ascending
  float* weights;    // [rows, chosen]
  // Set to 1 where a logit is not a number; the row's experts are then the first ones.
  int32_t* invalid;
};

// logits float32 [rows, experts]; correction [experts] or null.
void route(const RouteRule& rule, const float* logits, const float* correction, int64_t rows,
           const RouteOut& out, cudaStream_t stream);

}  // namespace strake::cuda
