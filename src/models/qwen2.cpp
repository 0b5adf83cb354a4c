#include "models/qwen2.h"

#include "models/dense.h"

namespace strake {

std::unique_ptr<Model> make_qwen2(LayerLoader load) {
  auto config = DenseConfig::read(load.config(), 1e6, OutputLayer::kTied);
  config.read_upper_windows(load.config());
  for (AttentionConfig& attention : config.attention) {
    attention.bias = Bias::kPresent;
    attention.output_bias = Bias::kNone;
  }
  return make_dense(std::move(load), config);
}

}  // namespace strake
