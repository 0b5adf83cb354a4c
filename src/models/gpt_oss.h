// gpt-oss (arXiv:2508.10925): biases everywhere, learned attention sinks, every second layer with a
// window, and experts with a clamped activation.
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_gpt_oss(LayerLoader load);

}  // namespace strake
