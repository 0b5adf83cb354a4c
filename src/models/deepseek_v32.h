// DeepSeek-V3.2 (arXiv:2512.02556).
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_deepseek_v32(LayerLoader load);

}  // namespace strake
