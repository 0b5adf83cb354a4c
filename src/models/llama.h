// Llama (arXiv:2302.13971, 2407.21783).
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_llama(LayerLoader load);

}  // namespace strake
