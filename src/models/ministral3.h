// Ministral 3: Mistral whose scores grow with the position.
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_ministral3(LayerLoader load);

}  // namespace strake
