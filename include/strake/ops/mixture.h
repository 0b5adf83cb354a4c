// Which rows multiply which of a stack of matrices.
#pragma once

#include <cstdint>
#include <span>

namespace strake {

// Which rows of which expert multiply: result row i is x[lhs[i]] times w[rhs[i]].
struct GatherIndices {
  // How often a backend will see these very indices: a layer's own may be kept where it computes.
  enum class Use { kOnce, kAgain };
  std::span<const int32_t> lhs;
  std::span<const int32_t> rhs;
  Use use = Use::kOnce;
};

// A sum of experts for each token: weights[i] times the product of row i with matrix experts[i] is
// added to result row tokens[i].
struct Mixture {
  // What ranks divide, and the tree spans: the inputs of each matrix, or the matrices.
  enum class Axis { kInputs, kExperts };
  std::span<const int32_t> experts;
  std::span<const int32_t> tokens;
  std::span<const float> weights;
  int64_t count;  // of tokens
  Axis axis = Axis::kInputs;
};

}  // namespace strake
