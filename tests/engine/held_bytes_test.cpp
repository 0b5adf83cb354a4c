// What the plan counts is what a loaded rank holds, by the account of the allocator.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "engine/capacity.h"
#include "engine/convert.h"
#include "io/checkpoint.h"
#include "models/model.h"
#include "models/reference.h"
#include "support/temporary_directory.h"

namespace {

std::atomic<int64_t> live_bytes = 0;

// The bytes that count stand before what is handed out.
void* allocate(size_t size, std::align_val_t alignment, int64_t counted) {
  const size_t room = std::max(static_cast<size_t>(alignment), sizeof counted);
  auto* const base =
      static_cast<std::byte*>(std::aligned_alloc(room, (size + 2 * room - 1) / room * room));
  if (base == nullptr) return nullptr;
  std::memcpy(base + room - sizeof counted, &counted, sizeof counted);
  live_bytes += counted;
  return base + room;
}

void release(void* data, std::align_val_t alignment) {
  if (data == nullptr) return;
  int64_t counted = 0;
  std::memcpy(&counted, static_cast<std::byte*>(data) - sizeof counted, sizeof counted);
  live_bytes -= counted;
  std::free(static_cast<std::byte*>(data) -
            std::max(static_cast<size_t>(alignment), sizeof counted));
}

}  // namespace

// Tensors below the size of a page of their own are made by this one.
void* operator new(size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(size, alignment, static_cast<int64_t>(size));
}
void* operator new(size_t size, std::align_val_t alignment) {
  if (void* const data = allocate(size, alignment, 0)) return data;
  throw std::bad_alloc();
}
void operator delete(void* data, std::align_val_t alignment) noexcept { release(data, alignment); }
void operator delete(void* data, size_t, std::align_val_t alignment) noexcept {
  release(data, alignment);
}

namespace strake {
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
