// How files that are not MLX's hold a stack of experts.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace strake {

struct ExpertForm {
  enum class Kind {
    kSeparate,  // experts.3.gate_proj, or experts.3.w1
    kFused,     // experts.gate_up_proj [experts, 2 out, in]: gate's rows, then up's
    kInTurn,    // gpt-oss's, [experts, in, 2 out]: columns of gate and up in turn
    kBlocks,    // gpt-oss's mxfp4, [experts, 2 out, groups, 16]: rows in turn
  };
  Kind kind;
  std::string base;        // "model.layers.0.mlp.experts"
  std::string projection;  // what it is called there: "gate_proj", "w1", "gate_up_proj"
  // Of the tensor's rows: 0 or 1 of two, or nothing where it has no others.
  std::optional<int> half;

  // "model.layers.0.mlp.experts.3.w1", or "model.layers.0.mlp.experts.gate_up_proj".
  std::string separate(int64_t expert) const;
  std::string fused() const { return base + "." + projection; }
};

// The form of module "model.layers.0.mlp.switch_mlp.gate_proj", as MLX names it. Nothing for other
// modules, and where there are no such tensors.
std::optional<ExpertForm> find_expert_form(const std::string& module,
                                           const std::function<bool(const std::string&)>& has);

}  // namespace strake
