// A checkpoint's config.json.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "strake/quant/format.h"

namespace strake {

// The fields of config.json, read by name. Every getter throws Error(kCheckpoint) that names the
// field, what was expected and what was found. Unknown fields are ignored, null ones are absent.
class ModelConfig {
 public:
  // `what` names the document in messages.
  static ModelConfig parse(std::string_view text, std::string_view what);

  bool has(std::string_view field) const;
  // A whole number of at least `least`.
  int64_t integer(std::string_view field, int64_t least = 1) const;
  int64_t integer_or(std::string_view field, int64_t fallback) const;  // at least 1
  double number(std::string_view field) const;
  double number_or(std::string_view field, double fallback) const;
  bool flag_or(std::string_view field, bool fallback) const;
  std::string text(std::string_view field) const;
  std::string text_or(std::string_view field, std::string_view fallback) const;
  // Lists.
  std::vector<double> numbers(std::string_view field) const;
  std::vector<std::string> texts(std::string_view field) const;
  std::vector<int64_t> integers(std::string_view field) const;  // empty where absent
  // One token id or a list of them; empty where absent.
  std::vector<int32_t> token_ids(std::string_view field) const;
  // A nested object as a config of its own, or nothing.
  std::optional<ModelConfig> object(std::string_view field) const;

  const Json& json() const { return json_; }
  const std::string& what() const { return what_; }

 private:
  ModelConfig(Json json, std::string what);
  const Json* find(std::string_view field) const;
  [[noreturn]] void mismatch(std::string_view field, std::string_view expected) const;

  Json json_;
  std::string what_;
};

// The `quantization` object of config.json: a format for the whole checkpoint and overrides by
// module path, by MLX's rules.
class QuantizationConfig {
 public:
  // Of other tools' methods (`quant_method`) it knows gpt-oss's mxfp4, fp8 in blocks, and
  // compressed-tensors' packed four-bit weights, which are affine. Throws Error(kCheckpoint) on
  // illegal formats, unknown modes and fields, and where `quantization` and `quantization_config`
  // contradict each other; Error(kUnsupported) for other methods.
  static QuantizationConfig parse(const ModelConfig& config);

  // How the module's weight is stored, given whether the checkpoint has `<module>.scales`: the
  // override's word, else the global format when there are scales. Throws Error(kCheckpoint) that
  // names the module when config and tensors disagree.
  std::optional<Format> format_of(const std::string& module, bool has_scales) const;

  const std::optional<Format>& global() const { return global_; }
  const std::map<std::string, std::optional<Format>>& overrides() const { return overrides_; }
  // Rows and columns of weights of e4m3 that share a scale.
  std::pair<int64_t, int64_t> fp8_block() const { return fp8_block_; }

 private:
  void parse_method(const ModelConfig& object);

  std::optional<Format> global_;
  std::map<std::string, std::optional<Format>> overrides_;  // nothing: not quantized
  std::pair<int64_t, int64_t> fp8_block_{128, 128};
};

// {"group_size": .., "bits": .., "mode": ..}, as checkpoints write it.
Json format_json(Format format);

}  // namespace strake
