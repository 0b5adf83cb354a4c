#include "models/mistral.h"

#include "models/dense.h"

namespace strake {

std::unique_ptr<Model> make_mistral(LayerLoader load) {
  auto config = DenseConfig::read(load.config(), 10000.0, OutputLayer::kTied);
  config.read_windows(load.config(), [](int64_t) { return true; });
  return make_dense(std::move(load), config);
}

}  // namespace strake
