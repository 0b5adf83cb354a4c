// Fields of config.json that many architectures share.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "nn/attention.h"

namespace strake {

// Throws Error(kUnsupported) where `field` is there and not `expected`.
void require_text(const ModelConfig& config, std::string_view field, std::string_view expected);

// Heads, their width, attention_bias for all four projections, and the rope.
AttentionConfig read_attention(const ModelConfig& config, double default_theta);

// The field that counts the experts to route to, by the name that this config has for it; nothing
// where there is none.
std::optional<std::string_view> experts_field(const ModelConfig& config);

// What it says. Throws Error(kCheckpoint) where there is none, or two that differ.
int64_t read_experts(const ModelConfig& config);

// Each layer's window: sliding_window, where there is one, for the layers that layer_types calls
// sliding_attention, or, without that list, those that `slides` names. Throws
// Error(kUnsupported) for other types.
std::vector<std::optional<int64_t>> read_windows(const ModelConfig& config, int64_t layers,
                                                 const std::function<bool(int64_t)>& slides);

}  // namespace strake
