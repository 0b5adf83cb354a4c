// DeepSeek-V3 (arXiv:2412.19437), Kimi K2 (arXiv:2507.20534).
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_deepseek_v3(LayerLoader load);

}  // namespace strake
