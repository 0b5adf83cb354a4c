// GLM-5 (arXiv:2602.15763).
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_glm_moe_dsa(LayerLoader load);

}  // namespace strake
