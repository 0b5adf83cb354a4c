#include "models/decoder.h"

#include "base/fail.h"

namespace strake {
namespace {

constexpr int64_t kMaxLayers = 10000;  // keeps a damaged config from filling the memory

}  // namespace

DecoderConfig DecoderConfig::read(const ModelConfig& config, OutputLayer output) {
  const double eps = config.number("rms_norm_eps");
  if (!(eps >= 0))
    fail(ErrorKind::kCheckpoint, "{}: rms_norm_eps: at least 0 expected, found {}", config.what(),
         eps);
  const int64_t layers = config.integer("num_hidden_layers");
  if (layers > kMaxLayers)
    fail(ErrorKind::kCheckpoint, "{}: num_hidden_layers: at most {} expected, found {}",
         config.what(), kMaxLayers, layers);
  const bool tied = config.flag_or("tie_word_embeddings", output == OutputLayer::kTied);
  return {.hidden = config.integer("hidden_size"),
          .layers = layers,
          .vocabulary = config.integer("vocab_size"),
          .eps = static_cast<float>(eps),
          .output = tied ? OutputLayer::kTied : OutputLayer::kOwn};
}

}  // namespace strake
