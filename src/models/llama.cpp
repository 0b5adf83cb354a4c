#include "models/llama.h"

#include "models/dense.h"

namespace strake {

std::unique_ptr<Model> make_llama(LayerLoader load) {
  auto config = DenseConfig::read(load.config(), 10000.0, OutputLayer::kTied);
  // Some that were made from it list layers with windows.
  config.read_windows(load.config(), [](int64_t) { return false; });
  return make_dense(std::move(load), config);
}

}  // namespace strake
