// GLM-4.7-Flash.
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_glm4_moe_lite(LayerLoader load);

}  // namespace strake
