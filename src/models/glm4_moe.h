// GLM-4.5 to 4.7 (arXiv:2508.06471): dense layers first, then experts chosen by sigmoid scores, and
// a shared one.
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_glm4_moe(LayerLoader load);

}  // namespace strake
