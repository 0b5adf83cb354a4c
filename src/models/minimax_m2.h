// MiniMax-M2: norms over the queries and keys of all heads, part of each head turns, and experts
// chosen by sigmoid scores.
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_minimax_m2(LayerLoader load);

}  // namespace strake
