// Qwen3's mixtures of experts (arXiv:2505.09388).
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_qwen3_moe(LayerLoader load);

}  // namespace strake
