#include "models/sparse.h"

#include <utility>

#include "models/fields.h"
#include "models/grouped.h"

namespace strake {
namespace {

using Feed = std::variant<SparseMlp, GatedMlp>;

Feed make_feed(const LayerLoader& load, const SparseConfig& config, int64_t index) {
  if (config.is_dense(index))
    return GatedMlp(load.at(config.feed), config.decoder.hidden, config.dense_width, Bias::kNone);
  return SparseMlp(load.at(config.feed), config.mixture);
}

}  // namespace

SparseConfig SparseConfig::read(const ModelConfig& config, double default_theta,
                                std::string_view width, RoutingRule::Scores scores) {
  require_text(config, "hidden_act", "silu");
  const auto decoder = DecoderConfig::read(config, OutputLayer::kOwn);
  const int64_t experts = read_experts(config);
  const int64_t chosen = config.integer("num_experts_per_tok");
  return {.decoder = decoder,
          .attention = std::vector(static_cast<size_t>(decoder.layers),
                                   read_attention(config, default_theta)),
          .mixture = {.router = {.hidden = decoder.hidden,
                                 .rule = {.experts = experts, .chosen = chosen, .scores = scores}},
                      .experts = {.hidden = decoder.hidden,
                                  .width = config.integer(width),
                                  .experts = experts,
                                  .chosen = chosen}}};
}

void SparseConfig::read_windows(const ModelConfig& config,
                                const std::function<bool(int64_t)>& slides) {
  const auto windows = strake::read_windows(config, decoder.layers, slides);
  for (size_t i = 0; i < windows.size(); ++i) attention[i].window = windows[i];
}

std::unique_ptr<Model> make_sparse(LayerLoader load, const SparseConfig& config) {
  return make_grouped<SparseMlp, GatedMlp>(
      std::move(load), config.decoder, config.attention,
      [&](const LayerLoader& at, int64_t index) { return make_feed(at, config, index); });
}

}  // namespace strake
