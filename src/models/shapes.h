// Sizes of known models, for running them with random weights.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "io/model_config.h"

namespace strake {

struct ModelShape {
  std::string_view name;    // what --shape takes
  std::string_view model;   // that it is the shape of
  std::string_view config;  // as config.json has it
};

std::span<const ModelShape> known_shapes();

// What is kept of a shape, so that it fits a machine; all where nothing is said.
struct ShapeCut {
  std::optional<int64_t> layers = {};   // those without experts in proportion, rounded down
  std::optional<int64_t> experts = {};  // to route to, of each layer that has any
};

// The config.json of a shape, or of what the cut leaves of it, with weights in `format`, or dense.
// Throws Error(kUsage) that lists the known shapes, or when there are not so many layers or
// experts.
ModelConfig shape_config(std::string_view name, const ShapeCut& cut,
                         const std::optional<Format>& format);

}  // namespace strake
