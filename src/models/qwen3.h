// Qwen3 (arXiv:2505.09388): Llama with norms of each head's queries and keys.
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_qwen3(LayerLoader load);

}  // namespace strake
