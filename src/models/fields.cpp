#include "models/fields.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <string>

#include "base/fail.h"
#include "nn/rope.h"

namespace strake {
namespace {

constexpr std::string_view kFull = "full_attention";
constexpr std::string_view kSliding = "sliding_attention";
constexpr std::string_view kExperts[] = {"n_routed_experts", "num_experts", "num_local_experts"};

}  // namespace

void require_text(const ModelConfig& config, std::string_view field, std::string_view expected) {
  const std::string found = config.text_or(field, expected);
  if (found != expected)
    fail(ErrorKind::kUnsupported, "{}: {}: {} expected, found {}", config.what(), field, expected,
         found);
}

AttentionConfig read_attention(const ModelConfig& config, double default_theta) {
  const int64_t hidden = config.integer("hidden_size");
  const int64_t heads = config.integer("num_attention_heads");
  if (!config.has("head_dim") && hidden % heads != 0)
    fail(ErrorKind::kCheckpoint, "{}: hidden_size: a multiple of {} heads expected, found {}",
         config.what(), heads, hidden);
  const int64_t head_dim = config.integer_or("head_dim", hidden / heads);
  const Bias bias = config.flag_or("attention_bias", false) ? Bias::kPresent : Bias::kNone;
  return {.hidden = hidden,
          .heads = heads,
          .kv_heads = config.integer_or("num_key_value_heads", heads),
          .head_dim = head_dim,
          .bias = bias,
          .output_bias = bias,
          .rope = make_rope(config, rotary_dims(config, head_dim), default_theta)};
}

std::optional<std::string_view> experts_field(const ModelConfig& config) {
  const auto at = std::ranges::find_if(kExperts, [&](auto name) { return config.has(name); });
  return at == std::end(kExperts) ? std::nullopt : std::optional(*at);
}

int64_t read_experts(const ModelConfig& config) {
  const auto field = experts_field(config);
  if (!field)
    fail(ErrorKind::kCheckpoint, "{}: one of {} expected, found none", config.what(),
         fmt::join(kExperts, ", "));
  const int64_t experts = config.integer(*field);
  for (const std::string_view other : kExperts)
    if (config.has(other) && config.integer(other) != experts)
      fail(ErrorKind::kCheckpoint, "{}: {}: {}, as {} says, expected, found {}", config.what(),
           other, experts, *field, config.integer(other));
  return experts;
}

std::vector<std::optional<int64_t>> read_windows(const ModelConfig& config, int64_t layers,
                                                 const std::function<bool(int64_t)>& slides) {
  std::vector<std::string> types;
  if (config.has("layer_types")) types = config.texts("layer_types");
  for (int64_t i = 0; i < layers && !config.has("layer_types"); ++i)
    types.emplace_back(slides(i) ? kSliding : kFull);
  if (std::ssize(types) < layers)
    fail(ErrorKind::kCheckpoint, "{}: layer_types: {} of them expected, found {}", config.what(),
         layers, types.size());
  types.resize(static_cast<size_t>(layers));
  std::optional<int64_t> window;
  if (config.has("sliding_window")) window = config.integer("sliding_window");
  std::vector<std::optional<int64_t>> windows;
  for (const std::string& type : types) {
    if (type != kSliding && type != kFull)
      fail(ErrorKind::kUnsupported, "{}: layer_types: {} or {} expected, found {}", config.what(),
           kFull, kSliding, type);
    windows.push_back(type == kSliding ? window : std::nullopt);
  }
  return windows;
}

}  // namespace strake
