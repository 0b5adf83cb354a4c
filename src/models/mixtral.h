// Mixtral (arXiv:2401.04088): every layer has experts, of which two are chosen.
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_mixtral(LayerLoader load);

}  // namespace strake
