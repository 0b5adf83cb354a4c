// Heads on their way to attention, against the same calls one by one.
#include <gtest/gtest.h>

#include <numeric>

#include "strake/ops/backend.h"
#include "support/bits.h"
#include "support/weights.h"

namespace strake {
namespace {

// Waits without a limit.
void await(const std::function<bool()>& done) {
  while (!done()) {
  }
}

RopeTable rope_of(RopeTable::Pairs pairs, int64_t dims) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < dims / 2; ++i)
    frequencies.push_back(1.0f / static_cast<float>(1 + 5 * i));
  return {pairs, dims, Tensor::from<float>(frequencies, {dims / 2}), 1.25f};
}

class CudaHeadRows : public testing::Test {
 protected:
  std::unique_ptr<Backend> gpu_ = make_backend("cuda", {});
  const RopeTable adjacent_ = rope_of(RopeTable::Pairs::kAdjacent, 64);
  const RopeTable halves_ = rope_of(RopeTable::Pairs::kHalves, 64);

  Tensor there(const Tensor& x) const { return x.at(gpu_->place()); }
  Tensor vector(uint64_t seed, int64_t width, DType dtype) const {
    return there(random_weight(seed, {1, width}).reshape({width}).to(dtype));
  }
  static Tensor here(const Tensor& x) { return x.on_host(await); }
  CacheRows cache(DType dtype, int64_t heads, int64_t width) const {
    return CacheRows(Tensor::zeros(dtype, {heads, 90, width}, gpu_->place()));
  }
};

// What latent attention places: normed latents of queries for the next product, latents with
// positions, and an indexer's keys, of two sequences.
struct Latents {
  int64_t queries, latents, turning, keys;  // widths
  int64_t heads;
};

TEST_F(CudaHeadRows, GoWhereTheyAreToWithTheSameBits) {
  for (const Latents& of :
       {Latents{2048, 512, 64, 128, 1}, Latents{96, 64, 64, 72, 1}, Latents{1536, 512, 64, 128, 3},
        Latents{4096, 512, 64, 4096, 1}, Latents{90, 33, 64, 71, 2}})
    for (const DType dtype : {DType::kBF16, DType::kF32, DType::kF16})
      for (const DType of_weights : {DType::kF32, DType::kBF16, DType::kF16})
        for (const auto& [first, second] : {std::pair<int64_t, int64_t>{1, 0}, {2, 3}, {70, 1}}) {
          SCOPED_TRACE(testing::Message() << of.queries << " " << to_string(dtype) << " " << first);
          const int64_t rows = first + second, width = of.latents + of.turning;
          const Tensor queries = there(random_weight(1, {rows, of.heads, of.queries}));
          const Tensor latents = there(random_weight(2, {rows, of.heads, width}));
          const Tensor keys = there(random_weight(3, {rows, of.heads, of.keys}));
          const Tensor query_weight = vector(4, of.queries, of_weights),
                       latent_weight = vector(5, of.latents, of_weights),
                       key_weight = vector(6, of.keys, of_weights),
                       key_bias = vector(7, of.keys, DType::kF32);
          const auto normed = [&](const Tensor& x, int64_t columns) {
            return x.slice(2, 0, columns).reshape({rows * of.heads, columns});
          };
          const auto shape = [&](int64_t columns) { return Shape{rows, of.heads, columns}; };
          const Tensor expected_queries =
              gpu_->rms_norm(normed(queries, of.queries), query_weight, 1e-6f, dtype);
          const Tensor plain =
              gpu_->rms_norm(normed(latents, of.latents), latent_weight, 1e-6f, DType::kF32)
                  .reshape(shape(of.latents));
          const Tensor centred =
              gpu_->layer_norm(normed(keys, of.keys), {key_weight, key_bias, 1e-6f}, DType::kF32)
                  .reshape(shape(of.keys));

          const HeadColumns of_queries[] = {
              {queries, 0, of.queries, nullptr, RowNorm{query_weight, nullptr, 1e-6f}}};
          const HeadColumns of_latents[] = {
              {latents, 0, of.latents, nullptr, RowNorm{latent_weight, nullptr, 1e-6f}},
              {latents, of.latents, width, &adjacent_}};
          const HeadColumns of_keys[] = {
              {keys, 0, of.keys, &halves_, RowNorm{key_weight, &key_bias, 1e-6f}}};
          std::vector<CacheRows> caches, expected;
          for (int i = 0; i < 2; ++i)
            for (std::vector<CacheRows>* all : {&caches, &expected}) {
              all->push_back(cache(dtype, of.heads, width));
              all->push_back(cache(dtype, of.heads, of.keys));
            }
          std::vector<HeadRows> all{{of_queries, 0, rows, Position(), dtype}};
          const auto add = [&](int64_t begin, int64_t end, int64_t position, size_t at) {
            if (begin == end) return;
            all.push_back({of_latents, begin, end, position, dtype, &caches[at]});
            all.push_back({of_keys, begin, end, position, dtype, &caches[at + 1]});
            const Tensor own_plain = plain.slice(0, begin, end),
                         own_latents = latents.slice(0, begin, end),
                         own_keys = centred.slice(0, begin, end);
            const HeadColumns stored[] = {{own_plain, 0, of.latents},
                                          {own_latents, of.latents, width, &adjacent_}};
            gpu_->store_heads(expected[at], stored, position);
            const HeadColumns turned[] = {{own_keys, 0, of.keys, &halves_}};
            gpu_->store_heads(expected[at + 1], turned, position);
          };
          add(0, first, 17, 0);
          add(first, rows, 80, 2);
          gpu_->place_each(all);
          EXPECT_TRUE(same_bits(here(all[0].result->reshape(expected_queries.shape())),
                                here(expected_queries)));
          for (size_t i = 0; i < caches.size(); ++i)
            EXPECT_TRUE(same_bits(here(*caches[i].dense()), here(*expected[i].dense()))) << i;
        }
}

// More than one launch takes, of several dtypes, some of them coded or of no float32.
TEST_F(CudaHeadRows, MayBeManyOfEveryKind) {
  const Tensor x = there(random_weight(1, {1, 2, 128}));
  const Tensor weight = vector(2, 128, DType::kBF16);
  const HeadColumns columns[] = {{x, 0, 128, &adjacent_, RowNorm{weight, nullptr, 1e-5f}}};
  const Tensor halves = x.to(DType::kBF16);
  const HeadColumns plain[] = {{halves, 0, 128, &adjacent_}};
  constexpr DType kDTypes[] = {DType::kBF16, DType::kBF16, DType::kF32};
  std::vector<HeadRows> all;
  std::vector<Tensor> expected;
  for (int64_t i = 0; i < 23; ++i) {
    const DType dtype = kDTypes[i % 3];
    const bool is_plain = i == 4;
    all.push_back({is_plain ? plain : columns, 0, 1, i, dtype});
    Tensor turned =
        is_plain ? x.to(DType::kBF16).to(dtype)
                 : gpu_->rms_norm(x.reshape({2, 128}), weight, 1e-5f, dtype).reshape({1, 2, 128});
    gpu_->rope(turned, adjacent_, i);
    expected.push_back(turned);
  }
  const Format format = Format::parse("mxfp8");
  const CacheStorage coded{DType::kBF16, format};
  CacheRows cache = CacheRows::make(coded, {2, 40, 128}, std::nullopt, gpu_->place());
  CacheRows expected_cache = CacheRows::make(coded, {2, 40, 128}, std::nullopt, gpu_->place());
  all.push_back({columns, 0, 1, 11, DType::kBF16, &cache});
  gpu_->place_each(all);
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_TRUE(same_bits(here(*all[i].result), here(expected[i]))) << i;
  Tensor turned =
      gpu_->rms_norm(x.reshape({2, 128}), weight, 1e-5f, DType::kBF16).reshape({1, 2, 128});
  gpu_->rope(turned, adjacent_, 11);
  gpu_->cache_store(expected_cache, turned, 11);
  const QuantizedMatrix &found = *cache.quantized(), &right = *expected_cache.quantized();
  EXPECT_TRUE(
      same_bits(here(found.codes()).slice(1, 11, 12), here(right.codes()).slice(1, 11, 12)));
  EXPECT_TRUE(
      same_bits(here(found.scales()).slice(1, 11, 12), here(right.scales()).slice(1, 11, 12)));
}

TEST_F(CudaHeadRows, AreRecordedWithPositionsOnTheDevice) {
  const Tensor x = there(random_weight(1, {1, 1, 576}));
  const Tensor weight = vector(2, 512, DType::kBF16);
  const HeadColumns columns[] = {{x, 0, 512, nullptr, RowNorm{weight, nullptr, 1e-5f}},
                                 {x, 512, 576, &adjacent_}};
  Tensor position = there(Tensor::from<int32_t>(std::vector<int32_t>{5}, {1}));
  CacheRows found = cache(DType::kBF16, 1, 576), expected = cache(DType::kBF16, 1, 576);
  const auto queue = [&] {
    HeadRows all[] = {{columns,
                       0,
                       1,
                       {0, reinterpret_cast<const int32_t*>(position.bytes().data()), 80},
                       DType::kBF16,
                       &found}};
    gpu_->place_each(all);
  };
  queue();
  const auto recording = gpu_->record(queue);
  ASSERT_NE(recording, nullptr);
  for (const int32_t at : {6, 40, 79}) {
    const Tensor next = Tensor::from<int32_t>(std::vector<int32_t>{at}, {1});
    gpu_->place().memory->upload(next.bytes(), position.mutable_bytes().data());
    recording->run();
  }
  for (const int64_t at : {5, 6, 40, 79}) {
    HeadRows all[] = {{columns, 0, 1, at, DType::kBF16, &expected}};
    gpu_->place_each(all);
  }
  EXPECT_TRUE(same_bits(here(*found.dense()), here(*expected.dense())));
}

// Columns behind a head's inputs are left out where they stand.
TEST_F(CudaHeadRows, MultiplyTheirOwnMatrices) {
  for (const WeightKind& kind :
       {WeightKind{"mxfp8", Format::parse("mxfp8")},
        WeightKind{"affine", Format::parse("affine", 4)}, WeightKind{"bf16", {}, DType::kBF16},
        WeightKind{"f32", {}, DType::kF32}})
    for (const auto& [heads, inputs, outputs] :
         {std::tuple<int64_t, int64_t, int64_t>{64, 192, 512}, {32, 512, 256}, {3, 128, 40}})
      for (const int64_t more : {0, 64, 3})
        for (const int64_t rows : {1, 2, 9}) {
          SCOPED_TRACE(testing::Message()
                       << kind.name << " " << heads << " " << more << " " << rows);
          const Weight w = gpu_->prepare(kind.make(1, {heads, outputs, inputs}));
          const SumTree tree = SumTree::whole(inputs);
          const Tensor x = there(random_weight(2, {rows, heads, inputs + more}).to(DType::kBF16));
          const Tensor expected = gpu_->head_matmul(x.slice(2, 0, inputs), w, tree, DType::kBF16);
          EXPECT_TRUE(same_bits(here(gpu_->head_matmul(x, w, tree, DType::kBF16)), here(expected)));
        }
}

// Few rows turn where they are scored, many before.
TEST_F(CudaHeadRows, OfAnIndexerTurnBeforeTheySelect) {
  for (const auto& [heads, width] :
       {std::pair<int64_t, int64_t>{32, 128}, {64, 128}, {5, 80}, {3, 72}})
    for (const RopeTable* rope : {&adjacent_, &halves_})
      for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32})
        for (const int64_t rows : {1, 3, 8, 9, 20}) {
          SCOPED_TRACE(testing::Message() << heads << " " << width << " " << rows);
          const CacheRows keys(there(random_weight(1, {1, 5000, width}).to(dtype)));
          const Tensor weights = there(random_weight(2, {rows, heads}));
          const Tensor q = random_weight(3, {rows, heads, width}).to(dtype);
          Tensor turned = there(q);
          for (const int64_t first : {2300, 4900}) {
            turned = there(q);
            gpu_->rope(turned, *rope, first);
            const Tensor expected = gpu_->select_keys(turned, weights, keys, {first, 2048});
            const Tensor turning = there(q);
            EXPECT_TRUE(
                same_bits(here(gpu_->select_keys(turning, weights, keys, {first, 2048, rope})),
                          here(expected)));
          }
        }
}

}  // namespace
}  // namespace strake
