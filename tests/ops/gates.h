// Gates in float64.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "strake/ops/activation.h"

namespace strake {

inline constexpr Activation kActivations[] = {Activation::kSilu, Activation::kGeluTanh,
                                              Activation::kClampedSwiglu};

// As the papers and gpt_oss's published code write them.
inline double gated(Activation activation, double gate, double up) {
  switch (activation) {
    case Activation::kSilu:
      return gate / (1 + std::exp(-gate)) * up;
    case Activation::kGeluTanh: {
      const double inner = std::sqrt(2 / std::numbers::pi) * (gate + 0.044715 * std::pow(gate, 3));
      // 1 + tanh(y), without the cancellation.
      return gate / (1 + std::exp(-2 * inner)) * up;
    }
    case Activation::kClampedSwiglu: {
      const double low = std::min(gate, 7.0);
      return low / (1 + std::exp(-1.702 * low)) * (std::clamp(up, -7.0, 7.0) + 1);
    }
  }
  return 0;
}

}  // namespace strake
