#include "io/gguf_import.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>

#include "base/files.h"
#include "expect_error.h"
#include "gguf_builder.h"
#include "io/gguf_config.h"
#include "io/model_config.h"
#include "io/safetensors.h"
#include "strake/quant/quantize.h"
#include "temp_directory.h"

namespace strake {
namespace {
namespace fs = std::filesystem;

const fs::path kData = fs::path(STRAKE_TEST_DATA) / "io";

ModelConfig config_in(const fs::path& directory) {
  return ModelConfig::parse(read_text_file(directory / "config.json"), "config.json");
}

// A tensor of an imported checkpoint as float32.
Tensor values_of(const SafetensorsDirectory& weights, const QuantizationConfig& quantization,
                 const std::string& module) {
  const bool scales = weights.tensors().contains(module + ".scales");
  const auto format = quantization.format_of(module, scales);
  const Tensor weight = weights.read(module + ".weight");
  if (!format) return weight.to(DType::kF32);
  QuantizedParts parts{weight, weights.read(module + ".scales")};
  if (format->has_biases()) parts.biases = weights.read(module + ".biases");
  return dequantize(QuantizedMatrix::make(module, *format, parts), DType::kF32);
}

TEST(GgufImport, EveryTensorHasTheReferenceValues) {
  const TempDirectory directory;
  const fs::path out = directory.path() / "model";
  std::vector<std::string> lines;
  int64_t last = 0, total = 0;
  import_gguf(kData / "tiny_llama.gguf", out,
              {[&](const std::string& line) { lines.push_back(line); },
               [&](int64_t done, int64_t all) {
                 EXPECT_GT(done, last);
                 last = done;
                 total = all;
               }});
  EXPECT_EQ(last, total);
  const std::vector<std::string> expected_lines = {
      "1 IQ4_NL tensor was decoded to floating point and rounded to bfloat16",
      "1 Q4_K tensor was decoded to floating point and rounded to bfloat16",
      "1 Q5_1 tensor was decoded to floating point and rounded to bfloat16",
      "1 Q6_K tensor was decoded to floating point and rounded to bfloat16",
      "the file has no tokenizer",
  };
  EXPECT_EQ(lines, expected_lines);

  const auto weights = SafetensorsDirectory::open(out);
  const auto quantization = QuantizationConfig::parse(config_in(out));
  const auto expected = SafetensorsFile::open(kData / "tiny_llama.safetensors");
  for (const auto& [name, entry] : expected.tensors()) {
    SCOPED_TRACE(name);
    const std::string module = name.substr(0, name.size() - std::string(".weight").size());
    Tensor wanted = expected.read(name);
    if (weights.tensors().at(name).dtype == DType::kBF16)
      wanted = wanted.to(DType::kBF16).to(DType::kF32);
    const Tensor found = values_of(weights, quantization, module);
    ASSERT_EQ(found.shape(), wanted.shape());
    EXPECT_TRUE(std::ranges::equal(found.data<float>(), wanted.data<float>()));
  }
  const std::map<std::string, DType> dtypes = {
      {"model.layers.0.input_layernorm.weight", DType::kF32},
      {"model.layers.0.self_attn.q_proj.scales", DType::kF16},
      {"model.layers.0.mlp.up_proj.scales", DType::kU8},
      {"model.layers.0.mlp.down_proj.weight", DType::kBF16},
      {"model.layers.1.self_attn.k_proj.weight", DType::kF16},
      {"model.layers.1.self_attn.v_proj.weight", DType::kBF16},
      {"model.layers.1.self_attn.o_proj.weight", DType::kF32},
  };
  for (const auto& [name, dtype] : dtypes)
    EXPECT_EQ(weights.tensors().at(name).dtype, dtype) << name;
}

TEST(GgufImport, TheConfigSaysWhatTheFileSays) {
  const TempDirectory directory;
  import_gguf(kData / "tiny_llama.gguf", directory.path() / "model");
  const ModelConfig config = config_in(directory.path() / "model");
  EXPECT_EQ(config.text("model_type"), "llama");
  const std::pair<const char*, int64_t> integers[] = {
      {"hidden_size", 32},        {"intermediate_size", 256},      {"num_hidden_layers", 2},
      {"num_attention_heads", 4}, {"num_key_value_heads", 2},      {"head_dim", 8},
      {"vocab_size", 40},         {"max_position_embeddings", 64},
  };
  for (const auto& [field, value] : integers) EXPECT_EQ(config.integer(field), value) << field;
  EXPECT_EQ(config.number("rms_norm_eps"), 1e-5);
  EXPECT_EQ(config.number("rope_theta"), 10000);
  EXPECT_TRUE(config.flag_or("tie_word_embeddings", false));
  EXPECT_FALSE(config.has("rope_scaling"));
  const auto quantization = QuantizationConfig::parse(config);
  EXPECT_EQ(quantization.global(), Format::parse("affine", 4, 32));
  const std::map<std::string, std::optional<Format>> overrides = {
      {"model.embed_tokens", Format::parse("affine", 8, 32)},
      {"model.layers.0.mlp.up_proj", Format::parse("mxfp4")},
      {"model.layers.0.self_attn.v_proj", Format::parse("affine", 8, 32)},
  };
  EXPECT_EQ(quantization.overrides(), overrides);
}

// A model of one layer and no values, by metadata and tensors that a case may leave out or add to.
GgufBuilder model_of(const std::string& arch, const std::vector<std::string>& modules,
                     const std::string& without = "") {
  GgufBuilder builder;
  builder.text("general.architecture", arch);
  const std::pair<const char*, uint32_t> numbers[] = {
      {"block_count", 1},          {"context_length", 128},     {"embedding_length", 64},
      {"feed_forward_length", 96}, {"attention.head_count", 4}, {"attention.head_count_kv", 2},
  };
  for (const auto& [key, value] : numbers)
    if (key != without) builder.number(arch + "." + key, value);
  if (without != "eps") builder.real(arch + ".attention.layer_norm_rms_epsilon", 1e-6f);
  for (const std::string& module : modules) {
    const std::string name = "blk.0." + module + ".weight";
    if (name != without) builder.zeros(name, {64, 64}, GgufType::kQ8_0);
  }
  for (const char* name : {"token_embd.weight", "output_norm.weight"})
    if (name != without) builder.zeros(name, {64, 64}, GgufType::kF16);
  return builder;
}

const std::vector<std::string> kLlama = {"attn_norm", "attn_q",      "attn_k",
                                         "attn_v",    "attn_output", "ffn_norm",
                                         "ffn_gate",  "ffn_up",      "ffn_down"};

std::vector<std::string> also(std::vector<std::string> modules,
                              const std::vector<std::string>& more) {
  modules.insert(modules.end(), more.begin(), more.end());
  return modules;
}

struct Architecture {
  const char* name;
  const char* model_type;
  std::vector<std::string> modules;
  const char* a_tensor;
};

TEST(GgufImport, Architectures) {
  const std::vector<std::string> attention = {"attn_norm",   "attn_q",      "attn_k",
                                              "attn_v",      "attn_output", "ffn_norm",
                                              "attn_q_norm", "attn_k_norm"};
  const Architecture cases[] = {
      {"llama", "llama", kLlama, "model.layers.0.self_attn.o_proj.weight"},
      {"qwen2", "qwen2", kLlama, "model.layers.0.mlp.down_proj.weight"},
      {"qwen3", "qwen3", also(attention, {"ffn_gate", "ffn_up", "ffn_down"}),
       "model.layers.0.self_attn.q_norm.weight"},
      {"qwen3moe", "qwen3_moe",
       also(attention, {"ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"}),
       "model.layers.0.mlp.switch_mlp.gate_proj.weight"},
  };
  for (const Architecture& c : cases) {
    SCOPED_TRACE(c.name);
    const TempDirectory directory;
    GgufBuilder builder = model_of(c.name, c.modules);
    builder.zeros("output.weight", {64, 64}, GgufType::kQ4_0);
    if (std::string(c.name) == "qwen3moe")
      builder.number("qwen3moe.expert_count", 8)
          .number("qwen3moe.expert_used_count", 2)
          .number("qwen3moe.expert_feed_forward_length", 32);
    import_gguf(directory.write("f.gguf", builder.build()), directory.path() / "model");
    const ModelConfig config = config_in(directory.path() / "model");
    EXPECT_EQ(config.text("model_type"), c.model_type);
    EXPECT_FALSE(config.flag_or("tie_word_embeddings", true));
    EXPECT_EQ(config.integer("head_dim"), 16);
    EXPECT_EQ(config.number("rms_norm_eps"), 1e-6);
    const auto weights = SafetensorsDirectory::open(directory.path() / "model");
    EXPECT_TRUE(weights.tensors().contains(c.a_tensor));
    EXPECT_TRUE(weights.tensors().contains("lm_head.biases"));
  }
}

TEST(GgufImport, RopeScaling) {
  const auto scaling = [](const GgufBuilder& builder) {
    const TempDirectory directory;
    import_gguf(directory.write("f.gguf", builder.build()), directory.path() / "model");
    return config_in(directory.path() / "model").json().at("rope_scaling");
  };
  EXPECT_EQ(scaling(model_of("llama", kLlama)), nullptr);
  EXPECT_EQ(scaling(model_of("llama", kLlama)
                        .text("llama.rope.scaling.type", "linear")
                        .real("llama.rope.scaling.factor", 4)),
            Json::parse(R"({"rope_type":"linear","factor":4.0})"));
  EXPECT_EQ(scaling(model_of("llama", kLlama)
                        .text("llama.rope.scaling.type", "yarn")
                        .real("llama.rope.scaling.factor", 2.5f)
                        .number("llama.rope.scaling.original_context_length", 4096)),
            Json::parse(R"({"rope_type":"yarn","factor":2.5,)"
                        R"("original_max_position_embeddings":4096})"));
  // Llama 3.2: heads of 64, theta 500,000, factor 32; a few of its divisors by hand.
  std::string divisors;
  for (int i = 0; i < 32; ++i) {
    const double wavelength = 2 * M_PI * std::pow(500000.0, 2.0 * i / 64);
    const double smooth = (8192 / wavelength - 1) / 3;
    const double divisor = wavelength < 2048   ? 1
                           : wavelength > 8192 ? 32
                                               : 1 / ((1 - smooth) / 32 + smooth);
    divisors += bytes_of(static_cast<float>(divisor));
  }
  GgufBuilder llama3 = model_of("llama", kLlama);
  llama3.number("llama.attention.key_length", 64)
      .number("llama.attention.value_length", 64)
      .real("llama.rope.freq_base", 500000)
      .tensor("rope_freqs.weight", {32}, GgufType::kF32, divisors);
  EXPECT_EQ(scaling(llama3),
            Json::parse(R"({"rope_type":"llama3","factor":32.0,"low_freq_factor":1.0,)"
                        R"("high_freq_factor":4.0,"original_max_position_embeddings":8192})"));
  GgufBuilder other = model_of("llama", kLlama);
  other.zeros("rope_freqs.weight", {8}, GgufType::kF32);
  expect_error(ErrorKind::kUnsupported, "tensor 'rope_freqs.weight': not Llama 3's scaling",
               [&] { scaling(other); });
}

TEST(GgufImport, GenerationEndsAtEveryEndToken) {
  GgufMetadata metadata("f.gguf");
  EXPECT_EQ(generation_config_from_gguf(metadata), Json::object());
  metadata.add("tokenizer.ggml.bos_token_id", int64_t{1});
  metadata.add("tokenizer.ggml.eos_token_id", int64_t{2});
  metadata.add("tokenizer.ggml.eom_token_id", int64_t{2});
  EXPECT_EQ(generation_config_from_gguf(metadata),
            Json::parse(R"({"bos_token_id":1,"eos_token_id":2})"));
  metadata.add("tokenizer.ggml.eot_token_id", int64_t{7});
  EXPECT_EQ(generation_config_from_gguf(metadata),
            Json::parse(R"({"bos_token_id":1,"eos_token_id":[2,7]})"));
}

TEST(GgufImport, WhatCannotBeImportedIsNamedAndLeavesNothing) {
  constexpr ErrorKind kDamaged = ErrorKind::kCheckpoint;
  constexpr ErrorKind kUnsupported = ErrorKind::kUnsupported;
  const auto llama = [](const std::string& without = "") {
    return model_of("llama", kLlama, without);
  };
  const std::string infinite = bytes_of(uint16_t{0x7c00}) + std::string(32, 'x');
  struct Case {
    GgufBuilder builder;
    ErrorKind kind;
    const char* message;
  };
  const Case cases[] = {
      {GgufBuilder(), kDamaged, "'general.architecture' is missing"},
      {GgufBuilder().text("general.architecture", "mamba"), kUnsupported,
       "one of llama, qwen2, qwen3, qwen3moe expected, found 'mamba'"},
      {llama("embedding_length"), kDamaged, "'llama.embedding_length' is missing"},
      {llama("eps"), kDamaged, "'llama.attention.layer_norm_rms_epsilon' is missing"},
      {llama("token_embd.weight"), kDamaged, "tensor 'token_embd.weight'"},
      {llama("output_norm.weight"), kDamaged, "tensor 'output_norm.weight' is missing"},
      {llama("blk.0.attn_k.weight"), kDamaged, "tensor 'blk.0.attn_k.weight' is missing"},
      {llama("block_count").number("llama.block_count", 2), kDamaged,
       "tensor 'blk.1.attn_norm.weight' is missing"},
      {llama("block_count").number("llama.block_count", 0), kDamaged, "'llama.block_count'"},
      {llama("block_count").text("llama.block_count", "1"), kDamaged, "'llama.block_count'"},
      {llama().zeros("blk.1.attn_q.weight", {64, 64}, GgufType::kF32), kDamaged,
       "tensor 'blk.1.attn_q.weight': the model has 1 layers"},
      {llama().zeros("blk.0.attn_sinks", {4}, GgufType::kF32), kUnsupported,
       "tensor 'blk.0.attn_sinks' has no counterpart in a llama model"},
      {llama().zeros("blk.0.attn_qkv.weight", {64, 64}, GgufType::kF32), kUnsupported,
       "tensor 'blk.0.attn_qkv.weight' has no counterpart"},
      {llama("blk.0.ffn_up.weight").zeros("blk.0.ffn_up.weight", {256, 1}, GgufType::kIQ2_XS),
       kUnsupported, "tensor 'blk.0.ffn_up.weight': blocks of type IQ2_XS"},
      {llama("blk.0.ffn_up.weight").zeros("blk.0.ffn_up.weight", {64, 1}, GgufType::kI32),
       kUnsupported, "tensor 'blk.0.ffn_up.weight': floating weights expected, found I32"},
      {llama("blk.0.ffn_up.weight")
           .tensor("blk.0.ffn_up.weight", {32, 1}, GgufType::kQ8_0, infinite),
       kDamaged, "blk.0.ffn_up.weight.scales"},
      {llama("blk.0.attn_q.weight").zeros("blk.0.attn_q.weight", {64, 63}, GgufType::kQ8_0),
       kDamaged, "tensor 'blk.0.attn_q.weight': rows for 4 heads"},
      {llama().number("llama.expert_count", 8), kUnsupported, "'llama.expert_count'"},
      {llama().number("llama.attention.sliding_window", 8), kUnsupported, "sliding_window"},
      {llama().number("llama.rope.dimension_count", 8), kUnsupported, "rope.dimension_count"},
      {llama().number("llama.attention.value_length", 8), kUnsupported, "value_length"},
      {llama().text("llama.rope.scaling.type", "longrope"), kUnsupported, "'longrope'"},
      {llama().text("tokenizer.ggml.model", "t5"), kUnsupported, "tokenizer.ggml.model"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.message);
    const TempDirectory directory;
    const fs::path file = directory.write("f.gguf", c.builder.build());
    expect_error(c.kind, c.message, [&] { import_gguf(file, directory.path() / "model"); });
    const auto left = std::distance(fs::directory_iterator(directory.path()), {});
    EXPECT_EQ(left, 1);  // f.gguf
  }
}

TEST(GgufImport, AnExistingDirectoryIsLeftAlone) {
  const TempDirectory directory;
  fs::create_directory(directory.path() / "model");
  expect_error(ErrorKind::kUsage, "exists already",
               [&] { import_gguf(kData / "tiny_llama.gguf", directory.path() / "model"); });
  EXPECT_TRUE(fs::is_empty(directory.path() / "model"));
}

TEST(GgufImport, AFullDiskLeavesNothing) {
  const TempDirectory directory;
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{20'000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_error(ErrorKind::kSystem, "cannot write",
               [&] { import_gguf(kData / "tiny_llama.gguf", directory.path() / "model"); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_TRUE(fs::is_empty(directory.path()));
}

}  // namespace
}  // namespace strake
