#include "engine/capacity.h"

#include <algorithm>
#include <cmath>

#include "models/model.h"

namespace strake {
namespace {

// What a cache of so many tokens takes.
int64_t cache_bytes(const Model& model, int64_t tokens, const CacheStorage& storage) {
  return model.make_cache(tokens, storage).nbytes();
}

// Of what one token reads a share of, a batch of tokens reads more: each chooses for itself.
double batch_share(double share, int64_t batch) {
  return 1 - std::pow(1 - share, static_cast<double>(batch));
}

// What a row of a prompt takes where a GPU multiplies with a rank's part of experts. Rows are
// gathered by expert; their products are float32, once as they come, once together, once in the
// rows' order. Where inputs are divided, each of up to `parts` sums of a row is kept while products
// are added to it, of which one expert may have as many.
int64_t prompt_row_bytes(const LoadedModule& module, int rank, int parts) {
  if (module.shape.rank() != 3 || module.read_share == 1) return 0;
  const auto held = [&](int axis) {
    return module.partition && module.axis == axis ? module.partition->size(rank)
                                                   : module.shape[axis];
  };
  const auto chosen = std::llround(module.read_share * static_cast<double>(module.shape[0]));
  const int64_t inputs = held(2), outputs = held(1);
  constexpr int64_t kFloat = 4, kActivation = 2;
  const int64_t gathered = chosen * inputs * kActivation;
  const int64_t sums = std::min<int64_t>(parts, parts * inputs / module.shape[2] + 1);
  const int64_t apart = 3 * chosen * outputs * kFloat, summed = 2 * sums * outputs * kFloat;
  if (module.axis == 1) return gathered + apart;
  return gathered + (module.axis == 2 ? summed : std::max(apart, summed));
}

}  // namespace

int64_t Capacity::cache_per_token() const {
  int64_t bytes = 0;
  for (const RankCapacity& rank : ranks) bytes += rank.cache_per_token;
  return bytes;
}

int64_t Capacity::sent() const {
  int64_t bytes = 0;
  for (const RankCapacity& rank : ranks) bytes += rank.sent;
  return bytes;
}

double Capacity::decode_rate(double bytes_per_second, int64_t batch) const {
  double most = 0;
  for (const RankCapacity& rank : ranks) most = std::max(most, rank.read);
  return static_cast<double>(batch) * bytes_per_second / most;
}

Capacity find_capacity(const OpenModel& open, const Division& division, const Load& load) {
  // Past every window, so that only what grows for ever differs.
  constexpr int64_t kLong = int64_t{1} << 24, kLonger = kLong + 1024;
  Capacity capacity{make_plan(open, division), {}};
  for (int rank = 0; rank < division.shares.ranks(); ++rank) {
    const auto source = open(Device::meta());
    const LayerLoader loader(*source, division, rank);
    const auto model = load_model(*source, loader);
    RankCapacity found{};
    found.cache = load.batch * cache_bytes(*model, load.context, load.cache);
    found.cache_per_token =
        (cache_bytes(*model, kLonger, load.cache) - cache_bytes(*model, kLong, load.cache)) /
        (kLonger - kLong);
    found.read = static_cast<double>(found.cache);
    for (const LoadedModule& module : loader.modules()) {
      found.weights += module.bytes;
      found.largest_weight = std::max(found.largest_weight, module.bytes);
      found.read += static_cast<double>(module.bytes) * batch_share(module.read_share, load.batch);
      found.sent += load.batch * module.sent;
      found.prompt_row = std::max(found.prompt_row, prompt_row_bytes(module, rank, division.parts));
    }
    capacity.ranks.push_back(found);
  }
  return capacity;
}

}  // namespace strake
