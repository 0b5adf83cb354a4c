// SmolLM3: Llama in which some layers know no positions (arXiv:2501.18795).
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_smollm3(LayerLoader load);

}  // namespace strake
