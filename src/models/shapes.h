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

// The config.json of a shape: with `layers` of its layers, all where none is given, and with
// weights in `format`, or dense. Throws Error(kUsage) that lists the known shapes, or when there
// are not so many layers.
ModelConfig shape_config(std::string_view name, std::optional<int64_t> layers,
                         const std::optional<Format>& format);

}  // namespace strake
