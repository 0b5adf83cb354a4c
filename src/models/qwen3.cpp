#include "models/qwen3.h"

#include "models/dense.h"

namespace strake {

std::unique_ptr<Model> make_qwen3(LayerLoader load) {
  auto config = DenseConfig::read(load.config(), 1e6, OutputLayer::kOwn);
  config.read_upper_windows(load.config());
  for (AttentionConfig& attention : config.attention)
    attention.norms = HeadNorms{config.decoder.eps};
  return make_dense(std::move(load), config);
}

}  // namespace strake
