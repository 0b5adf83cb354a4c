// Gemma 3 (arXiv:2503.19786), its text model: norms around each block, windows in most layers.
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_gemma3_text(LayerLoader load);

}  // namespace strake
