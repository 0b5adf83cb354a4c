// Attention of one new token, through the backend: shares of what the cache's bytes would take.
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "cuda/bench.h"
#include "weights.h"

namespace strake {
namespace {

struct Heads {
  const char* name;
  int64_t heads;
  int64_t cached_heads;
  int64_t width;
  int64_t value_width;  // narrower than keys: the first elements of those
};

constexpr Heads kHeads[] = {{"GQA 32/8 x 128", 32, 8, 128, 128},
                            {"GQA 64/8 x 128", 64, 8, 128, 128},
                            {"latent 64 x 512+64", 64, 1, 576, 512},
                            {"latent 128 x 512+64", 128, 1, 576, 512}};

struct Cache {
  CacheRows keys;
  CacheRows values;
};

void bench_context(const CudaBench& bench, const Heads& heads, int64_t context) {
  const auto backend = make_gpu();
  const RandomWeights random(backend->place());
  const bool is_latent = heads.value_width < heads.width;
  const Shape shape{heads.cached_heads, context, heads.width};
  const int64_t bytes = shape.elements() * size_of(DType::kBF16) * (is_latent ? 1 : 2);
  std::vector<Cache> caches;
  for (int i = cold_sets(bytes); i > 0; --i) {
    const Tensor keys = random.bf16(shape);
    caches.push_back({keys, is_latent ? keys : random.bf16(shape)});
  }
  std::vector<int32_t> read;  // the cached head of each query head
  for (int64_t head = 0; head < heads.heads; ++head)
    read.push_back(static_cast<int32_t>(head * heads.cached_heads / heads.heads));
  const Tensor q = random.bf16({1, heads.heads, heads.width});
  const AttentionView view{.heads = read,
                           .first_position = context - 1,
                           .scale = 1 / std::sqrt(static_cast<float>(heads.width))};
  const double seconds = graph_seconds(*backend, static_cast<int>(caches.size()), [&](int i) {
    const Cache& cache = caches[static_cast<size_t>(i)];
    if (is_latent)
      backend->attention(q, cache.keys, heads.value_width, view);
    else
      backend->attention(q, cache.keys, cache.values, view);
  });
  bench.table.row(fmt::format("attention  {:<20} {:>6}", heads.name, context),
                  bench.times(static_cast<double>(bytes), seconds));
}

}  // namespace

void bench_attention(const CudaBench& bench) {
  for (const Heads& heads : kHeads)
    for (const int64_t context : bench.options.contexts) bench_context(bench, heads, context);
}

}  // namespace strake
