#include "models/smollm3.h"

#include "base/fail.h"
#include "models/dense.h"

namespace strake {
namespace {

// Which layers turn queries and keys: as no_rope_layers says (with a 1), else all but every
// no_rope_layer_interval-th.
std::vector<bool> read_turning_layers(const ModelConfig& config, int64_t layers) {
  std::vector<bool> turn;
  if (!config.has("no_rope_layers")) {
    const int64_t interval = config.integer_or("no_rope_layer_interval", 4);
    for (int64_t i = 0; i < layers; ++i) turn.push_back((i + 1) % interval != 0);
    return turn;
  }
  for (const double flag : config.numbers("no_rope_layers")) turn.push_back(flag != 0);
  if (std::ssize(turn) < layers)
    fail(ErrorKind::kCheckpoint, "{}: no_rope_layers: {} of them expected, found {}", config.what(),
         layers, turn.size());
  turn.resize(static_cast<size_t>(layers));
  return turn;
}

}  // namespace

std::unique_ptr<Model> make_smollm3(LayerLoader load) {
  const ModelConfig& fields = load.config();
  auto config = DenseConfig::read(fields, 2e6, OutputLayer::kTied);
  const auto turns = read_turning_layers(fields, config.decoder.layers);
  for (size_t i = 0; i < turns.size(); ++i)
    if (!turns[i]) config.attention[i].rope.reset();
  if (fields.flag_or("use_sliding_window", false))
    config.read_windows(fields, [&](int64_t i) { return !turns[static_cast<size_t>(i)]; });
  return make_dense(std::move(load), config);
}

}  // namespace strake
