#include "models/ministral3.h"

#include "base/fail.h"
#include "models/dense.h"

namespace strake {
namespace {

ScoreGrowth read_growth(const ModelConfig& config) {
  const auto rope = config.object("rope_parameters");
  if (!rope)
    fail(ErrorKind::kCheckpoint, "{}: rope_parameters: an object expected, found nothing",
         config.what());
  return {.beta = rope->number("llama_4_scaling_beta"),
          .unit = rope->integer("original_max_position_embeddings")};
}

}  // namespace

std::unique_ptr<Model> make_ministral3(LayerLoader load) {
  auto config = DenseConfig::read(load.config(), 1e6, OutputLayer::kTied);
  config.read_windows(load.config(), [](int64_t) { return true; });
  const ScoreGrowth growth = read_growth(load.config());
  for (AttentionConfig& attention : config.attention) attention.growth = growth;
  return make_dense(std::move(load), config);
}

}  // namespace strake
