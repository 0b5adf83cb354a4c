// A Llama of a few thousand random weights.
#pragma once

#include "io/checkpoint_builder.h"
#include "models/model.h"
#include "quant/tensors.h"
#include "strake/comm/thread_group.h"
#include "support/bits.h"

namespace strake {

// Two layers, four heads of 16 elements for two key-value heads, tied embeddings.
class TinyLlama {
 public:
  static constexpr int64_t kHidden = 64, kWidth = 96, kVocabulary = 40, kLayers = 2;

  CheckpointBuilder builder;

  TinyLlama() {
    builder.config = parse_json(R"({"model_type": "llama", "hidden_size": 64,
        "num_hidden_layers": 2, "intermediate_size": 96, "vocab_size": 40, "rms_norm_eps": 1e-5,
        "num_attention_heads": 4, "num_key_value_heads": 2, "rope_theta": 10000.0,
        "tie_word_embeddings": true})",
                                "config");
    add("model.embed_tokens", kVocabulary, kHidden);
    add_norm("model.norm");
    for (int64_t i = 0; i < kLayers; ++i) {
      const std::string layer = this->layer(i);
      add_norm(layer + "input_layernorm");
      add_norm(layer + "post_attention_layernorm");
      add(layer + "self_attn.q_proj", 64, kHidden);
      add(layer + "self_attn.k_proj", 32, kHidden);
      add(layer + "self_attn.v_proj", 32, kHidden);
      add(layer + "self_attn.o_proj", kHidden, 64);
      add(layer + "mlp.gate_proj", kWidth, kHidden);
      add(layer + "mlp.up_proj", kWidth, kHidden);
      add(layer + "mlp.down_proj", kHidden, kWidth);
    }
  }

  static std::string layer(int64_t i) { return "model.layers." + std::to_string(i) + "."; }

  void add(const std::string& module, int64_t out, int64_t in) {
    builder.add_weight(module, random_weight(++seed_, {out, in}).to(DType::kBF16));
  }
  void add_vector(const std::string& name, int64_t extent) {
    builder.add(name, random_weight(++seed_, {1, extent}).reshape({extent}));
  }
  // Every linear layer and the embedding, in this format.
  void quantize_all(Format format) {
    builder.config["quantization"] = format_json(format);
    std::vector<std::string> modules{"model.embed_tokens"};
    for (int64_t i = 0; i < kLayers; ++i)
      for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                               "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"})
        modules.push_back(layer(i) + name);
    for (const std::string& module : modules)
      builder.add_weight(module,
                         quantize(builder.tensor(module + ".weight"), format, Encoder::kMlx));
  }

  // The logits [tokens, vocabulary] on so many ranks; every rank must have the same.
  Tensor logits(const Shares& shares = Shares::equal(1)) const {
    const std::vector<int32_t> tokens{3, 39, 0, 17, 17, 8, 25};
    std::vector<std::optional<Tensor>> by_rank(static_cast<size_t>(shares.ranks()));
    const Checkpoint opened = builder.open();
    run_ranks(shares.ranks(), {}, [&](Group& group) {
      Checkpoint checkpoint = Checkpoint::open(opened.path());
      const auto model = load_model(checkpoint, LayerLoader(checkpoint, shares, group.rank()));
      const auto backend = make_backend("cpu", {});
      Context context{*backend, group, DType::kF32};
      SequenceCache cache = model->make_cache(std::ssize(tokens), DType::kF32);
      by_rank[static_cast<size_t>(group.rank())] =
          model->forward(context, tokens, cache, LogitRows::kAll);
    });
    for (const auto& mine : by_rank) EXPECT_TRUE(same_bits(*mine, *by_rank[0]));
    return *by_rank[0];
  }

 private:
  void add_norm(const std::string& module) { add_vector(module + ".weight", kHidden); }

  uint64_t seed_ = 0;
};

}  // namespace strake
