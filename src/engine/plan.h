// What each rank of a run would hold, found without reading a weight.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "nn/layer_loader.h"

namespace strake {

// A module as all ranks hold it.
struct PlannedModule {
  LoadedModule module;
  std::vector<int64_t> bytes;  // by rank
};

struct Plan {
  std::vector<PlannedModule> modules;  // in the order of the model

  std::vector<int64_t> bytes_per_rank() const;
};

// Builds the model of every rank on Device::meta(). Throws what loading throws.
Plan make_plan(const OpenModel& open, const Division& division);
Plan make_plan(const std::filesystem::path& model, const Division& division);  // a checkpoint's

}  // namespace strake
