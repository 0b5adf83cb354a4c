// Attention through the backend: of one new token, beside what the cache's bytes would take, and of
// a piece of a prompt.
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

constexpr int64_t kPiece = 2048;               // tokens of a prompt
constexpr int64_t kBeforePiece[] = {0, 6144};  // positions

struct Cache {
  CacheRows keys;
  CacheRows values;
};

// The cached head of each query head.
std::vector<int32_t> read_by(const Heads& heads) {
  std::vector<int32_t> read;
  for (int64_t head = 0; head < heads.heads; ++head)
    read.push_back(static_cast<int32_t>(head * heads.cached_heads / heads.heads));
  return read;
}

AttentionView view_of(const Heads& heads, const std::vector<int32_t>& read,
                      int64_t first_position) {
  return {.heads = read,
          .first_position = first_position,
          .scale = 1 / std::sqrt(static_cast<float>(heads.width))};
}

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
  const std::vector<int32_t> read = read_by(heads);
  const Tensor q = random.bf16({1, heads.heads, heads.width});
  const AttentionView view = view_of(heads, read, context - 1);
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

void bench_piece(const CudaBench& bench, const Heads& heads, int64_t before) {
  const auto backend = make_gpu();
  const RandomWeights random(backend->place());
  const Shape shape{heads.cached_heads, before + kPiece, heads.width};
  const Cache cache{random.bf16(shape), random.bf16(shape)};
  const std::vector<int32_t> read = read_by(heads);
  const Tensor q = random.bf16({kPiece, heads.heads, heads.width});
  const AttentionView view = view_of(heads, read, before);
  const double seconds = graph_seconds(
      *backend, 1, [&](int) { backend->attention(q, cache.keys, cache.values, view); });
  const double seen =
      static_cast<double>(kPiece) * (static_cast<double>(before) + (kPiece + 1) / 2.0);
  const double operations =
      2 * seen * static_cast<double>(heads.heads * (heads.width + heads.value_width));
  bench.table.row(fmt::format("attention  {:<20} {:>6} + {}", heads.name, before, kPiece),
                  {{"us", 1e6 * seconds, 2}, {"TFLOP/s", 1e-12 * operations / seconds, 0}});
}

}  // namespace

void bench_attention(const CudaBench& bench) {
  for (const Heads& heads : kHeads)
    for (const int64_t context : bench.options.contexts) bench_context(bench, heads, context);
  for (const Heads& heads : kHeads)
    if (heads.value_width == heads.width)
      for (const int64_t before : kBeforePiece) bench_piece(bench, heads, before);
}

}  // namespace strake
