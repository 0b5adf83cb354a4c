// Configs that no model can be made from.
#include <gtest/gtest.h>

#include "io/expect_error.h"
#include "tiny_llama.h"

namespace strake {
namespace {

class BadModel : public testing::Test {
 protected:
  void SetUp() override { llama_.builder.open(); }
  // On one rank and on three, read and planned: the same error.
  void expect_refused(const std::string& part, ErrorKind kind = ErrorKind::kCheckpoint) {
    for (const Device device : {Device::cpu(), Device::meta()})
      for (const int ranks : {1, 3})
        expect_error(kind, part, [&] {
          Checkpoint checkpoint = llama_.builder.reopen(device);
          load_model(checkpoint, LayerLoader(checkpoint, Shares::equal(ranks), ranks - 1));
        });
  }
  // With one field of the config replaced.
  void expect_field_refused(const std::string& field, const Json& value, const std::string& part,
                            ErrorKind kind = ErrorKind::kCheckpoint) {
    SCOPED_TRACE(field + " = " + dump_json(value));
    const Json before = llama_.builder.config;
    llama_.builder.config[field] = value;
    expect_refused(part, kind);
    llama_.builder.config = before;
  }

  TinyLlama llama_;
};

TEST_F(BadModel, OfUnknownTypeListsTheKnownOnes) {
  expect_field_refused("model_type", "gpt5",
                       "config.json: model_type 'gpt5' is not supported; known: llama",
                       ErrorKind::kUnsupported);
  expect_field_refused("model_type", "", "model_type '' is not supported; known: llama",
                       ErrorKind::kUnsupported);
  expect_field_refused("model_type", 3, "config.json: model_type: text expected, found 3");
  expect_field_refused("model_type", nullptr, "model_type: text expected, found nothing");
}

TEST_F(BadModel, LacksAField) {
  const Json whole = llama_.builder.config;
  for (const char* field : {"hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size",
                            "rms_norm_eps", "num_attention_heads"}) {
    llama_.builder.config.erase(field);
    expect_refused("config.json: " + std::string(field) + ": a ");
    llama_.builder.config = whole;
  }
}

TEST_F(BadModel, HasFieldsThatAreNoCounts) {
  for (const char* field : {"hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size",
                            "num_attention_heads", "num_key_value_heads", "head_dim"}) {
    const std::string expected = "config.json: " + std::string(field) + ": a whole number ";
    for (const Json& value : {Json(0), Json(-1), Json(2.5), Json("64"), Json(true), Json::array(),
                              Json(int64_t{1} << 31), Json(~uint64_t{0})})
      expect_field_refused(field, value, expected);
  }
}

TEST_F(BadModel, HasCountsThatDoNotFitItsTensors) {
  constexpr int64_t kHuge = 2147483647;
  expect_field_refused("hidden_size", 128, "model.embed_tokens.weight: shape [40, 128] expected");
  expect_field_refused("vocab_size", kHuge,
                       "model.embed_tokens.weight: shape [2147483647, 64] expected");
  expect_field_refused("num_hidden_layers", kHuge,
                       "num_hidden_layers: at most 10000 expected, found 2147483647");
  expect_field_refused("num_hidden_layers", 10000,
                       "model.layers.2.input_layernorm.weight: missing");
  expect_field_refused("num_hidden_layers", 1,
                       "the model has no place for 9 of its tensors: model.layers.1.");
  expect_field_refused("intermediate_size", kHuge, "mlp.gate_proj.weight: shape [2147483647, 64]");
  expect_field_refused("intermediate_size", 97, "mlp.gate_proj.weight: shape [97, 64] expected");
  expect_field_refused("head_dim", kHuge - 1,
                       "heads of 2147483646 elements: an even number up to 65536");
  llama_.builder.config["num_key_value_heads"] = nullptr;
  llama_.builder.config["head_dim"] = 65536;
  expect_field_refused("num_attention_heads", kHuge,
                       "o_proj, inputs: at most 274877906944 elements expected", ErrorKind::kUsage);
  llama_.builder.config["num_key_value_heads"] = 2;
  expect_field_refused("head_dim", 32, "self_attn.q_proj.weight: shape [128, 64] expected");
}

TEST_F(BadModel, HasHeadsThatDoNotDivide) {
  expect_field_refused("num_attention_heads", 3,
                       "config.json: hidden_size: a multiple of 3 heads expected, found 64");
  expect_field_refused("num_attention_heads", 128,
                       "hidden_size: a multiple of 128 heads expected, found 64");
  expect_field_refused("num_attention_heads", 64,
                       "heads of 1 elements: an even number up to 65536");
  expect_field_refused("num_key_value_heads", 3,
                       "config.json: 4 attention heads are not whole groups for 3 key-value heads");
  expect_field_refused("num_key_value_heads", 8,
                       "4 attention heads are not whole groups for 8 key-value heads");
  expect_field_refused("num_key_value_heads", 2147483647, "4 attention heads are not whole groups");
  expect_field_refused("head_dim", 15, "heads of 15 elements: an even number up to 65536");
  expect_field_refused("head_dim", 1, "heads of 1 elements: an even number up to 65536");
}

TEST_F(BadModel, HasNumbersAndFlagsOfAnotherKind) {
  expect_field_refused("rms_norm_eps", "small", "config.json: rms_norm_eps: a number expected");
  expect_field_refused("rms_norm_eps", -1e-5, "rms_norm_eps: at least 0 expected, found -1e-05");
  expect_field_refused("rope_theta", 0, "config.json: rope_theta: a number above 0");
  expect_field_refused("rope_scaling", "llama3", "config.json: rope_scaling: an object expected");
  expect_field_refused("rope_scaling", {{"type", "ntk"}}, "rope type 'ntk' is not supported",
                       ErrorKind::kUnsupported);
  expect_field_refused("hidden_act", "gelu", "config.json: hidden_act: silu expected, found gelu",
                       ErrorKind::kUnsupported);
  expect_field_refused("hidden_act", 1, "config.json: hidden_act: text expected");
  for (const char* flag : {"attention_bias", "mlp_bias", "tie_word_embeddings"})
    expect_field_refused(flag, 1, "config.json: " + std::string(flag) + ": true or false expected");
}

TEST_F(BadModel, HasFormatsThatDoNotFitItsWidths) {
  llama_.quantize_all(Format::parse("mxfp8"));
  llama_.builder.open();
  expect_field_refused(
      "intermediate_size", 100,
      "model.layers.0.mlp.down_proj: config.json says mxfp8 (8 bits, groups of 32), "
      "but 100 inputs are not whole groups");
  expect_field_refused("head_dim", 18,
                       "model.layers.0.self_attn.o_proj: config.json says mxfp8 (8 bits, groups of "
                       "32), but 72 inputs are not whole groups");
  expect_field_refused("quantization", format_json(Format::parse("affine", 8, 32)),
                       "model.embed_tokens.scales: mode affine has floating scales, found U8");
  expect_field_refused("quantization", nullptr,
                       "model.embed_tokens: there is a tensor "
                       "model.embed_tokens.scales");
}

TEST_F(BadModel, LacksATensorOrHasOneTooMany) {
  llama_.builder.remove("model.layers.1.mlp.up_proj.weight");
  llama_.builder.open();
  expect_refused("model.layers.1.mlp.up_proj.weight: missing from the weights");
  llama_.add("model.layers.1.mlp.up_proj", 96, 64);
  llama_.add_vector("model.layers.0.self_attn.q_proj.bias", 64);
  llama_.builder.open();
  expect_refused("no place for 1 of its tensors: model.layers.0.self_attn.q_proj.bias");
}

}  // namespace
}  // namespace strake
