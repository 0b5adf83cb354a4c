// Caches of codes on a GPU, against the CPU's.
#include <gtest/gtest.h>

#include <vector>

#include "ops/cuda/device.h"
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

constexpr int64_t kCachedHeads = 2, kPositions = 530, kWidth = 128;
const std::vector<int32_t> kHeads{0, 0, 1, 1, 1};

class CudaCacheCodes : public testing::TestWithParam<Format> {
 protected:
  // [positions, heads, width]
  static Tensor rows(uint64_t seed, int64_t count, int64_t heads) {
    return random_weight(seed, {count, heads, kWidth}).to(DType::kBF16);
  }
  // In two pieces, of which the second has few rows.
  static CacheRows stored(Backend& backend, const Tensor& x) {
    CacheRows kept =
        CacheRows::make({DType::kBF16, GetParam()}, {kCachedHeads, kPositions + 6, kWidth},
                        std::nullopt, backend.place());
    backend.cache_store(kept, x.slice(0, 0, 500).at(backend.place()), 0);
    backend.cache_store(kept, x.slice(0, 500, kPositions).at(backend.place()), 500);
    return kept;
  }

  static void expect_same_codes(const CacheRows& there, const CacheRows& here) {
    const QuantizedMatrix &found = *there.quantized(), &expected = *here.quantized();
    const auto first = [](const Tensor& part) { return part.slice(1, 0, kPositions); };
    EXPECT_TRUE(same_bits(first(found.codes().on_host(await)), first(expected.codes())));
    EXPECT_TRUE(same_bits(first(found.scales().on_host(await)), first(expected.scales())));
    ASSERT_EQ(found.biases().has_value(), expected.biases().has_value());
    if (found.biases()) {
      EXPECT_TRUE(same_bits(first(found.biases()->on_host(await)), first(*expected.biases())));
    }
  }

  std::unique_ptr<Backend> gpu_ = make_backend("cuda", {});
  std::unique_ptr<Backend> cpu_ = make_backend("cpu", {});
};

TEST_P(CudaCacheCodes, AreStoredAndReadAsOnTheCpu) {
  const Tensor k = rows(1, kPositions, kCachedHeads), v = rows(2, kPositions, kCachedHeads);
  const CacheRows keys[] = {stored(*cpu_, k), stored(*gpu_, k)};
  const CacheRows values[] = {stored(*cpu_, v), stored(*gpu_, v)};
  expect_same_codes(keys[1], keys[0]);
  expect_same_codes(values[1], values[0]);
  for (const int64_t count : {1, 3, 40}) {
    const Tensor q = rows(3, count, std::ssize(kHeads));
    for (const std::optional<int64_t> window : {std::optional<int64_t>(), std::optional(70L)}) {
      AttentionView view{kHeads, kPositions - count, 0.09f};
      view.window = window;
      const Tensor expected = cpu_->attention(q, keys[0], values[0], view).to(DType::kF32);
      const Tensor found = gpu_->attention(q.at(gpu_->place()), keys[1], values[1], view)
                               .on_host(await)
                               .to(DType::kF32);
      ASSERT_EQ(found.shape(), expected.shape());
      const auto right = expected.data<float>();
      EXPECT_LE(cuda::relative_error(found.data<float>(),
                                     std::vector<double>(right.begin(), right.end())),
                5e-3)
          << count << " rows";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, CudaCacheCodes, testing::ValuesIn(Format::all()), [](const auto& of) {
  return fmt::format("{}_{}_{}", of.param.mode_name(), of.param.bits(), of.param.group_size());
});

}  // namespace
}  // namespace strake
