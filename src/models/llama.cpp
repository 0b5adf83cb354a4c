#include "models/llama.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "nn/attention.h"
#include "nn/mlp.h"
#include "nn/rope.h"

namespace strake {
namespace {

struct LlamaConfig {
  int64_t hidden;
  int64_t layers;
  int64_t width;
  int64_t vocabulary;
  float eps;
  Bias mlp_bias;
  bool tied;
  AttentionConfig attention;

  static LlamaConfig read(const ModelConfig& config) {
    const int64_t hidden = config.integer("hidden_size");
    const int64_t heads = config.integer("num_attention_heads");
    if (!config.has("head_dim") && hidden % heads != 0)
      fail(ErrorKind::kCheckpoint, "{}: hidden_size: a multiple of {} heads expected, found {}",
           config.what(), heads, hidden);
    const int64_t head_dim = config.integer_or("head_dim", hidden / heads);
    const double eps = config.number("rms_norm_eps");
    if (!(eps >= 0))
      fail(ErrorKind::kCheckpoint, "{}: rms_norm_eps: at least 0 expected, found {}", config.what(),
           eps);
    const auto bias = [&](std::string_view field) {
      return config.flag_or(field, false) ? Bias::kPresent : Bias::kNone;
    };
    if (config.text_or("hidden_act", "silu") != "silu")
      fail(ErrorKind::kUnsupported, "{}: hidden_act: silu expected, found {}", config.what(),
           config.text("hidden_act"));
    return {hidden,
            config.integer("num_hidden_layers"),
            config.integer("intermediate_size"),
            config.integer("vocab_size"),
            static_cast<float>(eps),
            bias("mlp_bias"),
            config.flag_or("tie_word_embeddings", true),
            {hidden, heads, config.integer_or("num_key_value_heads", heads), head_dim,
             bias("attention_bias"), make_rope(config, head_dim, 10000.0)}};
  }
};

struct LlamaLayer {
  RmsNorm attention_norm;
  Attention attention;
  RmsNorm mlp_norm;
  GatedMlp mlp;

  LlamaLayer(LayerLoader load, const LlamaConfig& config)
      : attention_norm(load.rms_norm("input_layernorm", config.hidden, config.eps)),
        attention(load.at("self_attn"), config.attention),
        mlp_norm(load.rms_norm("post_attention_layernorm", config.hidden, config.eps)),
        mlp(load.at("mlp"), config.hidden, config.width, config.mlp_bias) {
    load.ignore("self_attn.rotary_emb.inv_freq");
  }
};

class Llama final : public Model {
 public:
  Llama(LayerLoader load, const LlamaConfig& config)
      : embedding_(load.embedding("model.embed_tokens", config.vocabulary, config.hidden,
                                  config.tied ? EmbeddingUse::kLogits : EmbeddingUse::kRow)),
        output_(config.tied ? embedding_
                            : load.embedding("lm_head", config.vocabulary, config.hidden,
                                             EmbeddingUse::kLogits)),
        norm_(load.rms_norm("model.norm", config.hidden, config.eps)),
        device_(load.device()) {
    if (config.tied) load.ignore("lm_head.weight");
    for (int64_t i = 0; i < config.layers; ++i)
      layers_.emplace_back(load.at(layer_name(i)), config);
  }

  int64_t vocabulary() const override { return embedding_.vocabulary(); }

  SequenceCache make_cache(int64_t capacity, DType dtype) const override {
    SequenceCache cache;
    for (const LlamaLayer& layer : layers_)
      cache.layers.push_back(layer.attention.make_cache(capacity, dtype, device_));
    return cache;
  }

  Tensor forward(Context& context, std::span<const int32_t> tokens, SequenceCache& cache,
                 LogitRows rows) const override {
    Tensor x = embedding_.forward(context, tokens);
    context.record("model.embed_tokens", x);
    for (size_t i = 0; i < layers_.size(); ++i) {
      const LlamaLayer& layer = layers_[i];
      const Tensor attended = layer.attention.forward(
          context, layer.attention_norm.forward(context, x), cache.layers[i], cache.length);
      context.record(layer_name(i) + ".self_attn", attended);
      x = context.backend.add(x, attended);
      const Tensor fed = layer.mlp.forward(context, layer.mlp_norm.forward(context, x));
      context.record(layer_name(i) + ".mlp", fed);
      x = context.backend.add(x, fed);
    }
    cache.length += static_cast<int64_t>(tokens.size());
    if (rows == LogitRows::kLast) x = x.slice(0, x.shape()[0] - 1, x.shape()[0]);
    const Tensor logits = output_.as_linear(context, norm_.forward(context, x));
    context.record("logits", logits);
    return logits;
  }

 private:
  template <class Index>
  static std::string layer_name(Index i) {
    return "model.layers." + std::to_string(i);
  }

  Embedding embedding_;
  Embedding output_;
  RmsNorm norm_;
  Device device_;
  std::vector<LlamaLayer> layers_;
};

}  // namespace

std::unique_ptr<Model> make_llama(LayerLoader load) {
  return std::make_unique<Llama>(load, LlamaConfig::read(load.config()));
}

}  // namespace strake
