// Qwen2 and Qwen2.5 (arXiv:2407.10671): Llama with biases of queries, keys and values.
#pragma once

#include "models/model.h"

namespace strake {

std::unique_ptr<Model> make_qwen2(LayerLoader load);

}  // namespace strake
