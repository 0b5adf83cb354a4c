// What decoders share: an embedding, layers of one kind, a norm and an output layer.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/recycled.h"
#include "models/model.h"
#include "nn/residual_stream.h"

namespace strake {

// The table that logits are made from: the embedding's, or lm_head.
enum class OutputLayer { kTied, kOwn };

struct DecoderConfig {
  int64_t hidden;
  int64_t layers;
  int64_t vocabulary;
  float eps;  // of norms
  OutputLayer output;
  NormWeight norm = NormWeight::kFactor;
  float embedding_scale = 1.0f;

  // `output` is what a config stands for that does not say.
  static DecoderConfig read(const ModelConfig& config, OutputLayer output);
};

// A Layer has, as PreNormBlock,
//   void forward(Context&, ResidualStream& x, std::span<const SequenceRows>) const;
//   LayerCache make_cache(const CacheRoom&) const;
template <class Layer>
class Decoder final : public Model {
 public:
  // make_layer(loader at the layer's path, its index) -> Layer
  template <class MakeLayer>
  Decoder(LayerLoader load, const DecoderConfig& config, const MakeLayer& make_layer)
      : embedding_(load.embedding(
            "model.embed_tokens", config.vocabulary, config.hidden,
            config.output == OutputLayer::kTied ? EmbeddingUse::kBoth : EmbeddingUse::kRow)),
        output_(config.output == OutputLayer::kTied
                    ? embedding_
                    : load.embedding("lm_head", config.vocabulary, config.hidden,
                                     EmbeddingUse::kLogits)),
        norm_(load.rms_norm("model.norm", config.hidden, config.eps, config.norm)),
        embedding_scale_(config.embedding_scale),
        place_(load.place()) {
    if (config.output == OutputLayer::kTied) load.ignore("lm_head.weight");
    for (int64_t i = 0; i < config.layers; ++i)
      layers_.push_back(make_layer(load.at("model.layers." + std::to_string(i)), i));
  }

  int64_t vocabulary() const override { return embedding_.vocabulary(); }

  SequenceCache make_cache(int64_t capacity, const CacheStorage& storage) const override {
    std::vector<LayerCache> layers;
    for (const Layer& layer : layers_)
      layers.push_back(layer.make_cache({capacity, storage, place_}));
    return {std::move(layers), capacity};
  }

 private:
  Tensor run(Context& context, const TokenIds& tokens,
             std::span<const SequenceStep> steps) const override {
    Tensor x = embedding_.forward(context, tokens);
    if (embedding_scale_ != 1.0f) x = context.backend.scale(x, embedding_scale_);
    context.record("model.embed_tokens", x);
    ResidualStream stream(std::move(x));
    Recycled<std::optional<Tensor>> selected(steps.size());
    Recycled<SequenceRows> rows;
    rows.reserve(steps.size());
    for (size_t i = 0; i < layers_.size(); ++i) {
      rows.clear();
      for (const SequenceStep& step : steps) {
        const int64_t begin = rows.empty() ? 0 : rows.back().end;
        rows.push_back({begin, begin + std::ssize(step.tokens), step.first_position(),
                        step.cache->layer(i), &selected[rows.size()]});
      }
      layers_[i].forward(context, stream, rows);
    }
    return stream.sum(context);
  }

  Tensor logits(Context& context, const Tensor& x) const override {
    const Tensor logits = output_.as_linear(context, norm_.forward(context, x));
    context.record("logits", logits);
    return logits;
  }

  Embedding embedding_;
  Embedding output_;
  RmsNorm norm_;
  float embedding_scale_;
  Place place_;
  std::vector<Layer> layers_;
};

}  // namespace strake
