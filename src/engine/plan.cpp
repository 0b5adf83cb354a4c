#include "engine/plan.h"

#include "io/checkpoint.h"
#include "models/model.h"

namespace strake {

std::vector<int64_t> Plan::bytes_per_rank() const {
  std::vector<int64_t> total(modules.empty() ? 0 : modules.front().bytes.size());
  for (const PlannedModule& module : modules)
    for (size_t rank = 0; rank < total.size(); ++rank) total[rank] += module.bytes[rank];
  return total;
}

Plan make_plan(const OpenModel& open, const Division& division) {
  Plan plan;
  for (int rank = 0; rank < division.shares.ranks(); ++rank) {
    const auto source = open(Device::meta());
    const LayerLoader loader(*source, division, rank);
    load_model(*source, loader);
    for (size_t i = 0; i < loader.modules().size(); ++i) {
      const LoadedModule& module = loader.modules()[i];
      if (rank == 0) plan.modules.push_back({module, {}});
      plan.modules[i].bytes.push_back(module.bytes);
    }
  }
  return plan;
}

Plan make_plan(const std::filesystem::path& model, const Division& division) {
  return make_plan(
      [&](Device device) { return std::make_unique<Checkpoint>(Checkpoint::open(model, device)); },
      division);
}

}  // namespace strake
