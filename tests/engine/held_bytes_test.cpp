// What the plan counts is what a loaded rank holds, by the account of the allocator.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>

#include "base/recycled.h"
#include "engine/capacity.h"
#include "engine/convert.h"
#include "io/checkpoint.h"
#include "models/model.h"
#include "models/reference.h"
#include "support/temporary_directory.h"

namespace strake {
namespace {

std::atomic<int64_t> live_bytes = 0;

constexpr size_t kUnit = 64;  // that blocks are aligned to, and what stands before a tensor's bytes

}  // namespace

// In place of the library's: tensors below the size of a page of their own are made by these.
void* take_block(size_t bytes) noexcept {
  live_bytes += static_cast<int64_t>(bytes) - static_cast<int64_t>(kUnit);
  return std::aligned_alloc(kUnit, (bytes + kUnit - 1) / kUnit * kUnit);
}

void give_block(void* block, size_t bytes) noexcept {
  live_bytes -= static_cast<int64_t>(bytes) - static_cast<int64_t>(kUnit);
  std::free(block);
}

namespace {

constexpr int64_t kContext = 100;

OpenModel opener(const std::filesystem::path& model) {
  return [model](Device device) {
    return std::make_unique<Checkpoint>(Checkpoint::open(model, device));
  };
}

// Of one rank: what stays of loading, and what a cache takes.
struct Held {
  int64_t weights;
  int64_t cache;
};

Held load(const OpenModel& open, Device device, const Shares& shares, int rank,
          const LoadHooks& hooks = {}) {
  const auto source = open(device);
  const int64_t before = live_bytes;
  const auto model = load_model(*source, LayerLoader(*source, shares, rank, hooks));
  const int64_t loaded = live_bytes;
  const auto cache = model->make_cache(kContext, DType::kBF16);
  return {loaded - before, live_bytes - loaded};
}

void expect_held(const std::filesystem::path& model) {
  const OpenModel open = opener(model);
  const auto backend = make_backend("cpu", {});
  for (const int ranks : {1, 2, 3}) {
    const Shares shares = Shares::equal(ranks);
    const Capacity capacity = find_capacity(open, shares, {.context = kContext});
    for (int rank = 0; rank < ranks; ++rank) {
      SCOPED_TRACE(testing::Message() << "rank " << rank << " of " << ranks);
      const RankCapacity& planned = capacity.ranks[static_cast<size_t>(rank)];
      // Tables of positions, which are no weights.
      const int64_t tables = load(open, Device::meta(), shares, rank).weights;
      EXPECT_LE(tables, 1024);
      const Held held = load(open, Device::cpu(), shares, rank);
      EXPECT_EQ(held.weights - tables, planned.weights);
      EXPECT_EQ(held.cache, planned.cache);
      int64_t filled_up = 0;
      const LoadHooks hooks{.prepare = [&](Weight weight, const PartialSums& sums) {
        filled_up -= weight.nbytes();
        Weight prepared = backend->prepare(std::move(weight), sums);
        filled_up += prepared.nbytes();
        return prepared;
      }};
      EXPECT_EQ(load(open, Device::cpu(), shares, rank, hooks).weights - tables - filled_up,
                planned.weights);
    }
  }
}

class HeldBytes : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Models, HeldBytes, testing::ValuesIn(reference_models()), reference_name);

TEST_P(HeldBytes, AreThoseOfThePlan) { expect_held(kReferences / GetParam()); }

TEST_P(HeldBytes, AreThoseOfThePlanWhereQuantized) {
  for (const char* mode : {"mxfp8", "affine"}) {
    SCOPED_TRACE(mode);
    const TemporaryDirectory directory;
    convert_checkpoint(kReferences / GetParam(), directory.path() / "model",
                       {.format = Format::parse(mode)});
    expect_held(directory.path() / "model");
  }
}

}  // namespace
}  // namespace strake
