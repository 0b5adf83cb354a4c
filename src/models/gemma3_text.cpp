#include "models/gemma3_text.h"

#include <cmath>

#include "base/fail.h"
#include "models/decoder.h"
#include "models/fields.h"
#include "nn/mlp.h"
#include "nn/rope.h"
#include "strake/base/half.h"

namespace strake {
namespace {

struct Gemma3Config {
  DecoderConfig decoder;
  std::vector<AttentionConfig> attention;  // by layer
  int64_t width;

  static Gemma3Config read(const ModelConfig& config);
};

// The root of the width, as a number of the dtype that the model was made in.
float embedding_scale(const ModelConfig& config, int64_t hidden) {
  const std::string dtype = config.text_or("dtype", config.text_or("torch_dtype", "bfloat16"));
  const float root = std::sqrt(static_cast<float>(hidden));
  return dtype == "float32" ? root : to_float(to_bf16(root));
}

// rope_parameters has the fields of each type of layer.
std::optional<ModelConfig> rope_parameters(const ModelConfig& config, std::string_view type) {
  const auto parameters = config.object("rope_parameters");
  return parameters ? parameters->object(type) : std::nullopt;
}

RopeTable read_rope(const ModelConfig& config, int64_t dims) {
  const auto own = rope_parameters(config, "full_attention");
  return own ? make_rope(config, own, dims, 1e6) : make_rope(config, dims, 1e6);
}

// Layers with windows turn by a base of their own.
RopeTable read_local_rope(const ModelConfig& config, int64_t dims) {
  return make_rope(config, rope_parameters(config, "sliding_attention"), dims,
                   config.number_or("rope_local_base_freq", 10000.0));
}

Gemma3Config Gemma3Config::read(const ModelConfig& config) {
  require_text(config, "hidden_activation", "gelu_pytorch_tanh");
  for (const char* field : {"attn_logit_softcapping", "final_logit_softcapping"})
    if (config.has(field))
      fail(ErrorKind::kUnsupported, "{}: {}: null expected, found {}", config.what(), field,
           config.number(field));
  DecoderConfig decoder = DecoderConfig::read(config, OutputLayer::kTied);
  decoder.norm = NormWeight::kLessOne;
  decoder.embedding_scale = embedding_scale(config, decoder.hidden);
  AttentionConfig shared = read_attention(config, 1e6);
  shared.norms = HeadNorms{decoder.eps, decoder.norm};
  shared.scale = static_cast<float>(1 / std::sqrt(config.number_or("query_pre_attn_scalar", 256)));
  const int64_t pattern = config.integer_or("sliding_window_pattern", 6);
  const auto windows =
      read_windows(config, decoder.layers, [&](int64_t i) { return (i + 1) % pattern != 0; });
  const RopeTable full = read_rope(config, shared.head_dim);
  const RopeTable local = read_local_rope(config, shared.head_dim);
  std::vector<AttentionConfig> attention(windows.size(), shared);
  for (size_t i = 0; i < windows.size(); ++i) {
    attention[i].window = windows[i];
    attention[i].rope = windows[i] ? local : full;
  }
  return {decoder, std::move(attention), config.integer("intermediate_size")};
}

// Each block's input and output are normed.
class Gemma3Layer {
 public:
  Gemma3Layer(LayerLoader load, const Gemma3Config& config, int64_t index)
      : attention_name_(load.path("self_attn")),
        feed_name_(load.path("mlp")),
        attention_norm_(norm(load, "input_layernorm", config)),
        attention_(load.at("self_attn"), config.attention[static_cast<size_t>(index)]),
        attended_norm_(norm(load, "post_attention_layernorm", config)),
        feed_norm_(norm(load, "pre_feedforward_layernorm", config)),
        feed_(load.at("mlp"), config.decoder.hidden, config.width, Bias::kNone,
              Activation::kGeluTanh),
        fed_norm_(norm(load, "post_feedforward_layernorm", config)) {}

  void forward(Context& context, ResidualStream& x, std::span<const SequenceRows> sequences) const {
    const Tensor attended =
        attention_.forward(context, x.normed(context, attention_norm_), sequences);
    context.record(attention_name_, attended);
    x.add(context, attended_norm_.forward(context, attended, DType::kF32));
    const Tensor fed = feed_.forward(context, x.normed(context, feed_norm_));
    context.record(feed_name_, fed);
    x.add(context, fed_norm_.forward(context, fed, DType::kF32));
  }

  LayerCache make_cache(const CacheRoom& room) const { return attention_.make_cache(room); }

 private:
  static RmsNorm norm(LayerLoader& load, std::string_view name, const Gemma3Config& config) {
    return load.rms_norm(name, config.decoder.hidden, config.decoder.eps, config.decoder.norm);
  }

  std::string attention_name_, feed_name_;  // in traces
  RmsNorm attention_norm_;
  Attention attention_;
  RmsNorm attended_norm_, feed_norm_;
  GatedMlp feed_;
  RmsNorm fed_norm_;
};

}  // namespace

std::unique_ptr<Model> make_gemma3_text(LayerLoader load) {
  const auto config = Gemma3Config::read(load.config());
  return std::make_unique<Decoder<Gemma3Layer>>(
      load, config.decoder,
      [&](LayerLoader at, int64_t index) { return Gemma3Layer(std::move(at), config, index); });
}

}  // namespace strake
