// The checkpoints of tests/data/models, and what another implementation computed from them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "engine/session.h"
#include "strake/comm/thread_group.h"

namespace strake {

inline const std::filesystem::path kReferences = STRAKE_TEST_DATA "/models";

// The folders of models that are in the table.
inline std::vector<std::string> reference_models() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kReferences)) {
    const auto file = entry.path() / "config.json";
    if (!std::filesystem::exists(file)) continue;
    const auto type = ModelConfig::parse(read_text_file(file), file.string()).text("model_type");
    if (std::ranges::any_of(known_models(),
                            [&](const ModelEntry& known) { return known.model_type == type; }))
      names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

inline std::string reference_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
}

struct ReferencePrompt {
  std::vector<int32_t> ids;
  std::vector<int32_t> greedy;
};

// Of the difference, to that of what was expected.
inline double relative_norm(const Tensor& found, const Tensor& expected) {
  const auto a = found.data<float>(), b = expected.data<float>();
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += std::pow(double{a[i]} - double{b[i]}, 2);
    norm += std::pow(double{b[i]}, 2);
  }
  return std::sqrt(error / norm);
}

// One of them, on one rank and in float32: the numbers are those of bfloat16 weights in float32.
struct ReferenceRun {
  std::filesystem::path path;
  Json reference;
  std::unique_ptr<Group> group = make_solo_group();
  Session session;

  explicit ReferenceRun(const std::string& name) : ReferenceRun(name, kReferences / name) {}
  // The same in another checkpoint.
  ReferenceRun(const std::string& name, const std::filesystem::path& model)
      : path(kReferences / name),
        reference(parse_json(read_text_file(path / "reference.json"), name)),
        session(*group, Shares::equal(1),
                {.model = model, .threads = 2, .activations = DType::kF32}) {}

  const Model& model() const { return session.model(); }
  std::vector<ReferencePrompt> prompts() const {
    std::vector<ReferencePrompt> prompts;
    for (const Json& prompt : reference.at("prompts"))
      prompts.push_back({prompt.at("ids").get<std::vector<int32_t>>(),
                         prompt.at("greedy").get<std::vector<int32_t>>()});
    return prompts;
  }
};

}  // namespace strake
