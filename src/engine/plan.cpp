#include "engine/plan.h"

#include "models/model.h"

namespace strake {

std::vector<int64_t> Plan::bytes_per_rank() const {
  std::vector<int64_t> total(modules.empty() ? 0 : modules.front().bytes.size());
  for (const PlannedModule& module : modules)
    for (size_t rank = 0; rank < total.size(); ++rank) total[rank] += module.bytes[rank];
  return total;
}

Plan make_plan(const std::filesystem::path& model, const Shares& shares) {
  Plan plan;
  for (int rank = 0; rank < shares.ranks(); ++rank) {
    Checkpoint checkpoint = Checkpoint::open(model, Device::meta());
    const LayerLoader loader(checkpoint, shares, rank);
    load_model(checkpoint, loader);
    for (size_t i = 0; i < loader.modules().size(); ++i) {
      const LoadedModule& module = loader.modules()[i];
      if (rank == 0) plan.modules.push_back({module, {}});
      plan.modules[i].bytes.push_back(module.bytes);
    }
  }
  return plan;
}

}  // namespace strake
