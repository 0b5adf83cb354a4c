// Mistral (arXiv:2310.06825): Llama with a window in all layers.
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_mistral(LayerLoader load);

}  // namespace strake
