#include "io/expert_form.h"

#include <fmt/core.h>

namespace strake {
namespace {

struct Projection {
  std::string_view name;
  std::string_view short_name;
  std::string_view fused;
  std::optional<int> half;
};
constexpr Projection kProjections[] = {{"gate_proj", "w1", "gate_up_proj", 0},
                                       {"up_proj", "w3", "gate_up_proj", 1},
                                       {"down_proj", "w2", "down_proj", std::nullopt}};

const Projection* find_projection(std::string_view name) {
  for (const Projection& projection : kProjections)
    if (projection.name == name) return &projection;
  return nullptr;
}

}  // namespace

std::string ExpertForm::separate(int64_t expert) const {
  return fmt::format("{}.{}.{}", base, expert, projection);
}

std::optional<ExpertForm> find_expert_form(const std::string& module,
                                           const std::function<bool(const std::string&)>& has) {
  using Kind = ExpertForm::Kind;
  const size_t dot = module.rfind('.');
  if (dot == std::string::npos || dot == 0 || has(module + ".weight")) return std::nullopt;
  const size_t before = module.rfind('.', dot - 1);
  const Projection* const projection = find_projection(std::string_view(module).substr(dot + 1));
  if (before == std::string::npos || projection == nullptr) return std::nullopt;
  const std::string stack = module.substr(before + 1, dot - before - 1);
  if (stack != "switch_mlp" && stack != "experts") return std::nullopt;
  const std::string base = module.substr(0, before) + ".experts";
  for (const std::string_view name : {projection->name, projection->short_name}) {
    const ExpertForm form{Kind::kSeparate, base, std::string(name), std::nullopt};
    for (const char* suffix : {".weight", ".weight_packed"})
      if (has(form.separate(0) + suffix)) return form;
  }
  ExpertForm form{Kind::kBlocks, base, std::string(projection->fused), projection->half};
  if (has(form.fused() + "_blocks")) return form;
  // gpt-oss's stacks are called experts in MLX too.
  form.kind = stack == "experts" ? Kind::kInTurn : Kind::kFused;
  if (has(form.fused())) return form;
  return std::nullopt;
}

}  // namespace strake
