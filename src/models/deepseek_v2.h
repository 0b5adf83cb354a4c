// DeepSeek-V2 (arXiv:2405.04434).
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_deepseek_v2(LayerLoader load);

}  // namespace strake
