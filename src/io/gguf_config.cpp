#include "io/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/fail.h"
#include "io/gguf_decode.h"

namespace strake {
namespace {

// Metadata under the architecture's own prefix.
class Hyperparameters {
 public:
  Hyperparameters(const GgufMetadata& metadata, std::string_view architecture)
      : metadata_(metadata), prefix_(std::string(architecture) + ".") {}

  int64_t count(const std::string& key) const {
    const auto value = optional_count(key);
    if (!value)
      fail(ErrorKind::kCheckpoint, "{}: metadata '{}' is missing", metadata_.what(), name(key));
    return *value;
  }
  std::optional<int64_t> optional_count(const std::string& key) const {
    const auto value = metadata_.integer(name(key));
    if (value && (*value < 1 || *value > INT32_MAX))
      fail(ErrorKind::kCheckpoint, "{}: metadata '{}': a number from 1 to {} expected, found {}",
           metadata_.what(), name(key), INT32_MAX, *value);
    return value;
  }
  std::optional<double> number(const std::string& key) const { return metadata_.number(name(key)); }
  std::optional<std::string> text(const std::string& key) const {
    return metadata_.text(name(key));
  }
  std::optional<bool> flag(const std::string& key) const { return metadata_.flag(name(key)); }
  bool has(const std::string& key) const { return metadata_.has(name(key)); }
  std::string name(const std::string& key) const { return prefix_ + key; }

  template <class... Args>
  [[noreturn]] void unsupported(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorKind::kUnsupported, "{}: {}", metadata_.what(),
         fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  const GgufMetadata& metadata_;
  std::string prefix_;
};

// The factor by which Llama 3's scaling divides the frequency of dimension pair i.
double llama3_divisor(double theta, int64_t head_dim, int64_t i, double factor) {
  constexpr double kLow = 1, kHigh = 4, kContext = 8192;
  const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(head_dim);
  const double wavelength = 2 * std::numbers::pi * std::pow(theta, exponent);
  if (wavelength < kContext / kHigh) return 1;
  if (wavelength > kContext / kLow) return factor;
  const double smooth = (kContext / wavelength - kLow) / (kHigh - kLow);
  return 1 / ((1 - smooth) / factor + smooth);
}

// The file states Llama 3's scaling by its result, one divisor a frequency.
Json llama3_scaling(const GgufFile& file, const Hyperparameters& model, double theta,
                    int64_t head_dim) {
  const std::string name = "rope_freqs.weight";
  const GgufTensor& tensor = file.tensors().at(name);
  std::vector<float> divisors(static_cast<size_t>(tensor.shape.elements()));
  decode_gguf(name, tensor.type, file.read_blocks(name).bytes(), divisors);
  bool equal = static_cast<int64_t>(divisors.size()) == head_dim / 2 && !divisors.empty();
  const double factor = equal ? std::round(divisors.back()) : 1;
  for (size_t i = 0; i < divisors.size() && equal; ++i) {
    const double expected = llama3_divisor(theta, head_dim, static_cast<int64_t>(i), factor);
    equal = std::abs(divisors[i] - expected) <= 1e-4 * expected;
  }
  if (!equal)
    model.unsupported(
        "tensor '{}': not Llama 3's scaling of a context of 8192 with frequency factors 1 and 4",
        name);
  return {{"rope_type", "llama3"},
          {"factor", factor},
          {"low_freq_factor", 1.0},
          {"high_freq_factor", 4.0},
          {"original_max_position_embeddings", 8192}};
}

Json rope_scaling(const GgufFile& file, const Hyperparameters& model, double theta,
                  int64_t head_dim) {
  if (file.tensors().contains("rope_freqs.weight"))
    return llama3_scaling(file, model, theta, head_dim);
  const std::string type = model.text("rope.scaling.type").value_or("none");
  if (type == "none") {
    if (model.number("rope.scale_linear").value_or(1) != 1)
      return {{"rope_type", "linear"}, {"factor", *model.number("rope.scale_linear")}};
    return nullptr;
  }
  if (type != "linear" && type != "yarn")
    model.unsupported("metadata '{}': none, linear or yarn expected, found '{}'",
                      model.name("rope.scaling.type"), type);
  Json scaling = {{"rope_type", type}, {"factor", model.number("rope.scaling.factor").value_or(1)}};
  if (const auto context = model.optional_count("rope.scaling.original_context_length"))
    scaling["original_max_position_embeddings"] = *context;
  return scaling;
}

bool has_any_bias(const GgufFile& file, std::string_view module) {
  return file.tensors().contains(fmt::format("blk.0.{}.bias", module));
}

void add_experts(const Hyperparameters& model, std::map<std::string, Json>& config) {
  config["num_experts"] = model.count("expert_count");
  config["num_experts_per_tok"] = model.count("expert_used_count");
  config["moe_intermediate_size"] = model.count("expert_feed_forward_length");
  config["intermediate_size"] = model.optional_count("feed_forward_length")
                                    .value_or(model.count("expert_feed_forward_length"));
  config["norm_topk_prob"] = true;
  config["decoder_sparse_step"] = 1;
  config["mlp_only_layers"] = Json::array();
}

void refuse_variants(const Hyperparameters& model, const GgufArchitecture& architecture,
                     int64_t head_dim) {
  if (architecture.model_type != "qwen3_moe" && model.optional_count("expert_count"))
    model.unsupported("metadata '{}': {} models with experts cannot be imported",
                      model.name("expert_count"), architecture.name);
  if (model.has("attention.sliding_window"))
    model.unsupported("metadata '{}': sliding windows cannot be imported",
                      model.name("attention.sliding_window"));
  const int64_t rotated = model.optional_count("rope.dimension_count").value_or(head_dim);
  if (rotated != head_dim)
    model.unsupported("metadata '{}': rotation of whole heads of {} expected, found {}",
                      model.name("rope.dimension_count"), head_dim, rotated);
  const int64_t values = model.optional_count("attention.value_length").value_or(head_dim);
  if (values != head_dim)
    model.unsupported("metadata '{}': heads of {} expected, as for keys, found {}",
                      model.name("attention.value_length"), head_dim, values);
}

}  // namespace

std::map<std::string, Json> config_from_gguf(const GgufFile& file,
                                             const GgufArchitecture& architecture) {
  const Hyperparameters model(file.metadata(), architecture.name);
  const int64_t hidden = model.count("embedding_length");
  const int64_t heads = model.count("attention.head_count");
  const auto keys = model.optional_count("attention.key_length");
  if (!keys && hidden % heads != 0)
    model.unsupported("metadata '{}': a divisor of {} expected, found {}",
                      model.name("attention.head_count"), hidden, heads);
  const int64_t head_dim = keys.value_or(hidden / heads);
  refuse_variants(model, architecture, head_dim);
  const auto epsilon = model.number("attention.layer_norm_rms_epsilon");
  if (!epsilon)
    fail(ErrorKind::kCheckpoint, "{}: metadata '{}' is missing", file.metadata().what(),
         model.name("attention.layer_norm_rms_epsilon"));
  const double theta = model.number("rope.freq_base").value_or(10000);
  const auto embedding = file.tensors().find("token_embd.weight");
  if (embedding == file.tensors().end() || embedding->second.shape.rank() != 2)
    fail(ErrorKind::kCheckpoint, "{}: tensor 'token_embd.weight' of 2 axes expected",
         file.metadata().what());
  std::map<std::string, Json> config = {
      {"architectures", Json::array({std::string(architecture.model_class)})},
      {"model_type", std::string(architecture.model_type)},
      {"hidden_act", "silu"},
      {"hidden_size", hidden},
      {"num_hidden_layers", model.count("block_count")},
      {"num_attention_heads", heads},
      {"num_key_value_heads", model.optional_count("attention.head_count_kv").value_or(heads)},
      {"head_dim", head_dim},
      {"max_position_embeddings", model.count("context_length")},
      {"rms_norm_eps", *epsilon},
      {"rope_theta", theta},
      {"rope_scaling", rope_scaling(file, model, theta, head_dim)},
      {"attention_bias", has_any_bias(file, "attn_q")},
      {"mlp_bias", has_any_bias(file, "ffn_up")},
      {"vocab_size", embedding->second.shape[0]},
      {"tie_word_embeddings", !file.tensors().contains("output.weight")},
  };
  if (architecture.model_type == "qwen3_moe")
    add_experts(model, config);
  else
    config["intermediate_size"] = model.count("feed_forward_length");
  for (const char* token : {"bos", "eos"})
    if (const auto id = file.metadata().integer(fmt::format("tokenizer.ggml.{}_token_id", token)))
      config[fmt::format("{}_token_id", token)] = *id;
  return config;
}

Json generation_config_from_gguf(const GgufMetadata& metadata) {
  Json config = Json::object();
  if (const auto bos = metadata.integer("tokenizer.ggml.bos_token_id"))
    config["bos_token_id"] = *bos;
  Json ends = Json::array();
  for (const char* key : {"eos", "eot", "eom"})
    if (const auto id = metadata.integer(fmt::format("tokenizer.ggml.{}_token_id", key)))
      if (std::find(ends.begin(), ends.end(), *id) == ends.end()) ends.push_back(*id);
  if (ends.size() == 1) config["eos_token_id"] = ends[0];
  if (ends.size() > 1) config["eos_token_id"] = ends;
  return config;
}

}  // namespace strake
