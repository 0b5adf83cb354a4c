// What the gate of a feed-forward block does.
#pragma once

#include <cstdint>

namespace strake {

// gate, up -> what the down projection multiplies.
enum class Activation : uint8_t {
  kSilu,           // gate * sigmoid(gate) * up (arXiv:2002.05202)
  kGeluTanh,       // gate * (1 + tanh(sqrt(2/pi) * (gate + 0.044715 gate^3))) / 2 * up
  kClampedSwiglu,  // gate and up clamped to 7 first, then gate * sigmoid(1.702 gate) * (up + 1)
};

}  // namespace strake
