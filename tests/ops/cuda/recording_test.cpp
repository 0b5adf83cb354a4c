// What is recorded, and what runs without the host, against the same calls one by one.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "base/hash.h"
#include "io/expect_error.h"
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

class CudaRecording : public testing::Test {
 protected:
  std::unique_ptr<Backend> gpu_ = make_backend("cuda", {});
  std::unique_ptr<Backend> cpu_ = make_backend("cpu", {});

  Tensor there(const Tensor& x) const { return x.at(gpu_->place()); }
  template <class T>
  Tensor there(const std::vector<T>& values, const Shape& shape) const {
    return there(Tensor::from<T>(values, shape));
  }
  static Tensor here(const Tensor& x) { return x.on_host(await); }
  // Other values at the same address.
  void replace(Tensor& x, const Tensor& values) const {
    gpu_->place().memory->upload(values.bytes(), x.mutable_bytes().data());
  }
};

TEST_F(CudaRecording, RunsAgainWithWhatItsArgumentsHaveBecome) {
  const Weight w =
      gpu_->prepare(quantize(random_weight(1, {48, 256}), Format::parse("mxfp8"), Encoder::kMlx));
  const SumTree tree = SumTree::whole(256);
  Tensor x = there(random_weight(2, {1, 256}).to(DType::kBF16));
  std::optional<Tensor> y;
  const auto queue = [&] {
    const Tensor product = gpu_->matmul(x, w, tree);
    y = gpu_->add(gpu_->scale(product, 0.5f), product);
  };
  queue();
  const Tensor first = here(*y);
  const auto recording = gpu_->record(queue);
  ASSERT_NE(recording, nullptr);
  recording->run();
  EXPECT_TRUE(same_bits(here(*y), first));
  const Tensor recorded = *y;
  const Tensor other = random_weight(3, {1, 256}).to(DType::kBF16);
  replace(x, other);
  recording->run();
  const Tensor again = here(recorded);
  queue();
  EXPECT_TRUE(same_bits(again, here(*y)));
  EXPECT_FALSE(same_bits(again, first));
}

// Those of one format together, others alone; more rows each by itself.
TEST_F(CudaRecording, JoinsProductsWithTheSameBits) {
  const SumTree tree = SumTree::whole(768);
  const WeightKind fp8{"mxfp8", Format::parse("mxfp8")}, fp4{"nvfp4", Format::parse("nvfp4")};
  const WeightKind bf16{"bf16", {}, DType::kBF16}, f32{"f32", {}, DType::kF32};
  std::vector<Weight> weights;
  for (const auto& [kind, outputs] : std::vector<std::pair<WeightKind, int64_t>>{{fp8, 70},
                                                                                 {fp4, 33},
                                                                                 {fp8, 1},
                                                                                 {bf16, 16},
                                                                                 {fp4, 48},
                                                                                 {f32, 7},
                                                                                 {fp8, 256},
                                                                                 {bf16, 5},
                                                                                 {fp8, 31},
                                                                                 {fp8, 9}})
    weights.push_back(gpu_->prepare(kind.make(outputs, {outputs, 768})));
  constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16};
  for (const DType x_dtype : kDTypes)
    for (const int64_t rows : {1, 5, 16, 17}) {
      const Tensor x = there(random_weight(7, {rows, 768}).to(x_dtype));
      std::vector<JointProduct> products;
      for (size_t i = 0; i < weights.size(); ++i)
        products.push_back({weights[i], kDTypes[i % std::size(kDTypes)]});
      gpu_->matmul_each(x, products, tree);
      std::vector<Tensor> expected;
      for (const JointProduct& product : products) {
        expected.push_back(here(gpu_->matmul(x, product.weight, tree, product.dtype)));
        EXPECT_TRUE(same_bits(here(*product.result), expected.back())) << rows;
      }
      if (rows > 16 || x_dtype == DType::kF32) continue;
      const auto recording = gpu_->record([&] { gpu_->matmul_each(x, products, tree); });
      ASSERT_NE(recording, nullptr);
      recording->run();
      for (size_t i = 0; i < products.size(); ++i)
        EXPECT_TRUE(same_bits(here(*products[i].result), expected[i])) << rows;
    }
}

// Columns of heads beside each other, as by the calls that this stands for: in one go where all are
// float32 or of the result's dtype already.
TEST_F(CudaRecording, JoinsHeadsWithTheSameBits) {
  const RopeTable rope{RopeTable::Pairs::kAdjacent, 6,
                       Tensor::from<float>(std::vector{1.0f, 0.3f, 0.01f}, {3}), 1.25f};
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16})
    for (const DType from : {DType::kF32, dtype})
      for (const DType other : {from, dtype})
        for (const auto& [rows, heads] : {std::pair<int64_t, int64_t>{1, 1}, {1, 5}, {3, 2}}) {
          const Tensor x = random_weight(1, {rows, heads, 24}).to(from);
          const Tensor y = random_weight(2, {rows, heads, 20}).to(other);
          Tensor turned = there(y.slice(2, 9, 17).to(dtype));
          gpu_->rope(turned, rope, 70);
          const Tensor expected =
              concatenate(std::vector{there(x.slice(2, 3, 19).to(dtype)), turned}, 2);
          const Tensor plain = there(x), joined = there(y), stored = there(y);
          const HeadColumns to_join[] = {{plain, 3, 19}, {joined, 9, 17, &rope}};
          EXPECT_TRUE(same_bits(here(gpu_->join_heads(to_join, dtype, 70)), here(expected)));

          const HeadColumns to_store[] = {{plain, 3, 19}, {stored, 9, 17, &rope}};
          const Shape room{heads, 80, 24};
          CacheRows cache(Tensor::zeros(dtype, room, gpu_->place()));
          CacheRows expected_cache(Tensor::zeros(dtype, room, gpu_->place()));
          gpu_->store_heads(cache, to_store, 70);
          gpu_->cache_store(expected_cache, expected, 70);
          EXPECT_TRUE(same_bits(here(*cache.dense()), here(*expected_cache.dense())));
        }
}

// Tensors of the same sizes come and go: neither changes the other.
TEST_F(CudaRecording, SharesNoMemoryWithOthers) {
  const Tensor x = there(random_weight(1, {4, 1024}));
  std::optional<Tensor> y;
  const auto queue = [&] { y = gpu_->scale(gpu_->add(gpu_->add(x, x), x), 3.0f); };
  queue();
  const Tensor expected = here(*y);
  y.reset();
  const auto recording = gpu_->record(queue);
  ASSERT_NE(recording, nullptr);
  for (int round = 0; round < 3; ++round) {
    std::vector<Tensor> others;
    for (int i = 0; i < 8; ++i) others.push_back(there(random_weight(10 + i, {4, 1024})));
    recording->run();
    EXPECT_TRUE(same_bits(here(*y), expected));
    for (int i = 0; i < 8; ++i)
      EXPECT_TRUE(
          same_bits(here(others[static_cast<size_t>(i)]), random_weight(10 + i, {4, 1024})));
  }
}

TEST_F(CudaRecording, MayEndBeforeWhatItMade) {
  const Tensor x = there(random_weight(1, {4, 1024}));
  std::optional<Tensor> y = gpu_->add(x, x);
  auto recording = gpu_->record([&] { y = gpu_->add(x, x); });
  ASSERT_NE(recording, nullptr);
  recording->run();
  recording.reset();
  const Tensor other = there(random_weight(2, {4, 1024}));
  EXPECT_TRUE(same_bits(here(*y), here(gpu_->add(x, x))));
  y.reset();
  EXPECT_TRUE(same_bits(here(other), random_weight(2, {4, 1024})));
}

TEST_F(CudaRecording, RefusesWhatNeedsTheHost) {
  const Tensor host = random_weight(1, {2, 64});
  const Tensor x = there(host);
  gpu_->add(x, x);
  EXPECT_EQ(gpu_->record([&] { gpu_->add(x, there(host)); }), nullptr);
  EXPECT_EQ(gpu_->record([&] { here(gpu_->add(x, x)); }), nullptr);
  EXPECT_THROW(gpu_->record([&] {
    gpu_->add(x, x);
    throw std::runtime_error("something else");
  }),
               std::runtime_error);
  // The stream and the memory are as before.
  EXPECT_TRUE(same_bits(here(gpu_->add(x, x)), cpu_->add(host, host)));
  EXPECT_NE(gpu_->record([&] { gpu_->add(x, x); }), nullptr);
}

TEST_F(CudaRecording, ReadsIdsAndPositionsOnTheDevice) {
  const Tensor table = random_weight(1, {11, 64});
  const std::vector<int32_t> ids{7, 0, 10}, unknown{0, 0, 0};
  const Tensor device_ids = there(ids, {3});
  const TokenIds known(unknown, &device_ids);
  EXPECT_TRUE(same_bits(here(gpu_->embedding(there(table), known)), cpu_->embedding(table, ids)));

  const HeldRows held[] = {{0, 4, 0, 0}, {4, 6, 1, 0}, {6, 9, 0, 4}, {9, 11, 1, 2}};
  const Tensor parts[] = {concatenate(std::vector{table.slice(0, 0, 4), table.slice(0, 6, 9)}, 0),
                          concatenate(std::vector{table.slice(0, 4, 6), table.slice(0, 9, 11)}, 0)};
  std::vector<Tensor> pieces;
  for (int part = 0; part < 2; ++part)
    pieces.push_back(
        gpu_->embedding_part(there(parts[part]), known, {held, part}).reshape({1, 3, 64}));
  EXPECT_TRUE(same_bits(here(gpu_->pick_rows(concatenate(pieces, 0), known, held)),
                        cpu_->embedding(table, ids)));

  std::vector<float> frequencies(16);
  std::iota(frequencies.begin(), frequencies.end(), 1.0f);
  const RopeTable rope{RopeTable::Pairs::kHalves, 32, Tensor::from<float>(frequencies, {16})};
  const Tensor heads = random_weight(2, {1, 2, 64});
  const Tensor position = there(std::vector<int32_t>{5}, {1});
  Tensor found = there(heads).to(DType::kBF16), expected = there(heads).to(DType::kBF16);
  gpu_->rope(found, rope, {0, reinterpret_cast<const int32_t*>(position.bytes().data()), 511});
  gpu_->rope(expected, rope, 5);
  EXPECT_TRUE(same_bits(here(found), here(expected)));
}

// Of few tokens rows stay on the device; of many the host brings them in order. Experts 2 to 4 of 6
// are held.
TEST_F(CudaRecording, MixesWithoutTheHost) {
  constexpr int64_t kExperts = 6, kIn = 128, kOut = 64;
  enum class By { kHost, kDevice };  // who has the rows
  const RoutingRule rule{.experts = kExperts, .chosen = 2, .scores = RoutingRule::Scores::kSigmoid};
  const Weight all =
      quantize(random_weight(1, {kExperts, kOut, kIn}), Format::parse("mxfp8"), Encoder::kMlx);
  const HeldRows held[] = {{2, 5, 0, 0}}, whole[] = {{0, kExperts, 0, 0}},
                 two[] = {{4, 6, 0, 0}, {0, 1, 0, 2}};
  const Weight own = all.slice(0, 2, 5);
  const Weight parts =
      concatenate(std::vector{*all.slice(0, 4, 6).quantized(), *all.slice(0, 0, 1).quantized()}, 0);
  const SumTree inputs = SumTree::whole(kIn);
  const int root[] = {0};
  for (const int64_t tokens : {1, 5, 8, 20}) {
    SCOPED_TRACE(tokens);
    const Tensor logits = random_weight(3, {tokens, kExperts});
    const Routing expected = cpu_->route(logits, rule, {});
    const Routing found = gpu_->route(there(logits), rule, {});
    ASSERT_TRUE(same_bits(here(found.experts), expected.experts));
    EXPECT_TRUE(same_bits(here(gpu_->spread_weights(found, kExperts)),
                          cpu_->spread_weights({expected.experts, here(found.weights)}, kExperts)));
    const Tensor x = random_weight(4, {tokens, kIn}).to(DType::kBF16);
    const auto mixed = [&](const Weight& stack, std::span<const HeldRows> rows, By by) {
      const Weight w = gpu_->prepare(stack);
      const auto dispatched = gpu_->dispatch(found, rows, await);
      const AxisSums sums{Mixture::Axis::kInputs, {inputs, root}};
      const Routing on_host{here(found.experts), here(found.weights)};
      const auto list = cpu_->dispatch(on_host, rows, await);
      const Tensor by_host =
          gpu_->gather_matmul(there(x), w, list->indices(), sums.sums).to(DType::kBF16);
      const Tensor y = by == By::kHost
                           ? by_host.reshape({by_host.shape()[1], by_host.shape()[2]})
                           : gpu_->gather_matmul(there(x), w, *dispatched, inputs, DType::kBF16);
      EXPECT_TRUE(
          same_bits(here(gpu_->gather_matmul(there(x), w, list->indices(), inputs, DType::kBF16)
                             .reshape(by_host.shape())),
                    here(by_host)));
      // With others of one format and of another, as by itself.
      const Weight another = gpu_->prepare(quantize(random_weight(6, {w.shape()[0], 40, kIn}),
                                                    Format::parse("mxfp4"), Encoder::kMlx));
      JointProduct joint[] = {{w, DType::kBF16}, {another, DType::kF32}, {w, DType::kF32}};
      gpu_->gather_matmul_each(there(x), joint, *dispatched, inputs);
      const auto experts = dispatched->indices().rhs;
      for (const JointProduct& product : joint) {
        const Tensor together = here(*product.result);
        const Tensor alone =
            here(gpu_->gather_matmul(there(x), product.weight, *dispatched, inputs, product.dtype));
        for (int64_t row = 0; row < std::ssize(experts); ++row) {
          if (experts[static_cast<size_t>(row)] < 0) continue;
          EXPECT_TRUE(same_bits(together.slice(0, row, row + 1), alone.slice(0, row, row + 1)));
        }
      }
      // Another stack takes what the first one makes.
      const Weight back = gpu_->prepare(quantize(random_weight(5, {w.shape()[0], 32, kOut}),
                                                 Format::parse("mxfp8"), Encoder::kMlx));
      const SumTree outputs = SumTree::whole(kOut);
      const PartialSums of_outputs{outputs, root};
      return here(by == By::kHost
                      ? gpu_->mix_matmul(y, back, list->mixture(sums.axis), of_outputs)
                      : gpu_->mix_matmul(y, back, *dispatched, {sums.axis, of_outputs}));
    };
    EXPECT_TRUE(same_bits(mixed(all, whole, By::kDevice), mixed(all, whole, By::kHost)));
    EXPECT_TRUE(same_bits(mixed(own, held, By::kDevice), mixed(own, held, By::kHost)));
    EXPECT_TRUE(same_bits(mixed(parts, two, By::kDevice), mixed(parts, two, By::kHost)));
  }
}

// Each exponential is computed with the same operations.
TEST_F(CudaRecording, RoutesWithTheBitsOfTheHost) {
  for (const int64_t experts : {3, 64, 256, 300})
    for (const auto weights : {RoutingRule::Weights::kScores, RoutingRule::Weights::kNormalized}) {
      const RoutingRule rule{.experts = experts,
                             .chosen = 3,
                             .scores = RoutingRule::Scores::kSigmoid,
                             .weights = weights,
                             .scale = 2.5f};
      Tensor logits = random_weight(static_cast<uint64_t>(experts), {40, experts});
      auto values = logits.mutable_data<float>();
      for (size_t i = 0; i < values.size(); ++i) values[i] *= static_cast<float>(1 + i % 50);
      const Routing expected = cpu_->route(logits, rule, {});
      const Routing found = gpu_->route(there(logits), rule, {});
      EXPECT_TRUE(same_bits(here(found.experts), expected.experts)) << experts;
      EXPECT_TRUE(same_bits(here(found.weights), expected.weights)) << experts;
    }
}

TEST_F(CudaRecording, SaysThatARoutersLogitIsNotANumber) {
  const RoutingRule rule{.experts = 4, .chosen = 2, .scores = RoutingRule::Scores::kSoftmax};
  gpu_->route(there(random_weight(1, {1, 4})), rule, {});
  gpu_->require_valid(await);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  gpu_->route(there(std::vector<float>{1, nan, 2, 3}, {1, 4}), rule, {});
  expect_error(ErrorKind::kUsage, "router: a logit is not a number",
               [&] { gpu_->require_valid(await); });
  gpu_->require_valid(await);
}

TEST_F(CudaRecording, ChoosesTokensAndHashesTheirLogits) {
  constexpr int64_t kVocabulary = 5003;
  const auto chooser = gpu_->token_chooser({}, kVocabulary);
  ASSERT_NE(chooser, nullptr);
  chooser->start(41);
  Tensor logits = there(random_weight(1, {1, kVocabulary}));
  const auto queue = [&] { chooser->choose(logits); };
  uint64_t hash = kHashSeed;
  std::unique_ptr<Recording> recording;
  for (int32_t step = 0; step < 4; ++step) {
    const Tensor row = random_weight(static_cast<uint64_t>(step) + 1, {1, kVocabulary});
    replace(logits, row);
    if (step == 1) recording = gpu_->record(queue);
    if (step == 0)
      queue();
    else
      recording->run();
    const auto values = row.data<float>();
    hash = hash_row(values, hash);
    const ChosenToken found = chooser->chosen(await);
    EXPECT_EQ(found.token, std::ranges::max_element(values) - values.begin());
    EXPECT_EQ(found.invalid, 0);
    EXPECT_EQ(found.logits_hash, hash);
    EXPECT_EQ(here(chooser->token()).data<int32_t>()[0], found.token);
    EXPECT_EQ(here(chooser->position()).data<int32_t>()[0], 41 + step);
  }
  Tensor bad = random_weight(1, {1, kVocabulary});
  bad.mutable_data<float>()[17] = std::numeric_limits<float>::quiet_NaN();
  replace(logits, bad);
  recording->run();
  EXPECT_EQ(chooser->chosen(await).token, -1);
  EXPECT_EQ(here(chooser->token()).data<int32_t>()[0], 0);
}

}  // namespace
}  // namespace strake
