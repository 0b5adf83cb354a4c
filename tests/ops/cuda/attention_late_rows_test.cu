// Attention brings old rows of a cache while the kernel before it still runs: what that one stores,
// and where it says that a sequence stands, counts nevertheless.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/cuda/attention.h"
#include "ops/cuda/device.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {
namespace {

constexpr int kMostCopies = 8;
constexpr int kThreads = 256;
constexpr int64_t kLateCycles = 100'000;

struct Copy {
  uint8_t* to;
  const uint8_t* from;
  int64_t bytes;
};
struct Copies {
  Copy copies[kMostCopies];
  int count = 0;

  void add(void* to, const void* from, int64_t offset, int64_t bytes) {
    copies[count++] = {static_cast<uint8_t*>(to) + offset,
                       static_cast<const uint8_t*>(from) + offset, bytes};
  }
};

// Lets its successor start at once, and copies long after that.
__global__ void copy_late_kernel(Copies late) {
  begin_after_predecessor();
  const int64_t begin = clock64();
  while (clock64() - begin < kLateCycles) {
  }
  for (int c = 0; c < late.count; ++c)
    for (int64_t i = threadIdx.x; i < late.copies[c].bytes; i += kThreads)
      late.copies[c].to[i] = late.copies[c].from[i];
}

struct Case {
  int64_t width = 128;
  int64_t value_width = 128;
  int64_t heads = 8;
  int64_t cached_heads = 2;
  int64_t tokens = 1;
  int first = 700;
  bool is_latent() const { return value_width < width; }
};

// Rows [heads, slots, width], as they are in the end and before a call's tokens have theirs.
struct LateRows {
  DeviceFloats whole;
  DeviceFloats late;

  LateRows(const Case& c, int64_t slots, int64_t width) : LateRows(c, slots, width, DType::kBF16) {}
  void add_to(Copies& copies, const Case& c, int64_t slots, int64_t width) const {
    const int64_t row = width * size_of(DType::kBF16);
    for (int64_t head = 0; head < c.cached_heads; ++head)
      copies.add(late.data(), whole.data(), (head * slots + c.first) * row, c.tokens * row);
  }

 private:
  LateRows(const Case& c, int64_t slots, int64_t width, DType dtype)
      : LateRows(c, slots, width,
                 random_floats(static_cast<size_t>(c.cached_heads * slots * width), dtype)) {}
  LateRows(const Case& c, int64_t slots, int64_t width, std::vector<float> rows)
      : whole(DType::kBF16, rows), late(DType::kBF16, without_new(c, slots, width, rows)) {}

  static std::vector<float> without_new(const Case& c, int64_t slots, int64_t width,
                                        std::vector<float> rows) {
    for (int64_t row = 0; row < c.cached_heads * slots; ++row)
      if (row % slots >= c.first) std::fill_n(rows.begin() + row * width, width, std::nanf(""));
    return rows;
  }
};

// The same bits as when all was there before. `known`: where the sequence seems to stand until
// then.
void expect_late_rows(const Case& c, int known) {
  const int64_t slots = std::max(known, c.first + static_cast<int>(c.tokens)) + 9;
  const LateRows keys(c, slots, c.width);
  const LateRows values(c, c.is_latent() ? 0 : slots, c.value_width);
  const auto queries = static_cast<size_t>(c.tokens * c.heads * c.width);
  const DeviceFloats q(DType::kBF16, random_floats(queries, DType::kBF16));
  const DeviceFloats late_q(DType::kBF16, queries);
  const DeviceArray<int32_t> position(std::vector<int32_t>{c.first});
  const DeviceArray<int32_t> late_position(std::vector<int32_t>{known});
  const auto run = [&](DeviceFloats LateRows::*which, const DeviceFloats& from,
                       const DeviceArray<int32_t>& at, const Copies& late) {
    CachedSequence cache{{(keys.*which).data()}, {(values.*which).data()}, slots};
    if (c.is_latent()) cache.values = cache.keys;
    const DeviceArray<CachedSequence> caches(std::vector<CachedSequence>{cache});
    const DeviceFloats out(DType::kBF16, static_cast<size_t>(c.tokens * c.heads * c.value_width));
    AttentionShape shape{};
    shape.dtype = DType::kBF16;
    shape.heads = c.heads;
    shape.cached_heads = c.cached_heads;
    shape.largest_group = c.heads / c.cached_heads;
    shape.width = c.width;
    shape.value_width = c.value_width;
    shape.value_stride = c.is_latent() ? c.width : c.value_width;
    shape.positions = slots;
    const DeviceBytes workspace(static_cast<int64_t>(attention_workspace(shape, c.tokens, 1)));
    AttentionOperands operands{};
    operands.q = from.data();
    operands.caches = caches.data();
    operands.scale = 1 / std::sqrt(static_cast<float>(c.width));
    operands.out = out.data();
    operands.workspace = workspace.data();
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    if (late.count > 0)
      launch({"late copies", 1, kThreads, 0, cudaStreamPerThread, Order::kOverlapping},
             copy_late_kernel, late);
    attention(shape, operands, {at.data(), c.tokens, 1}, cudaStreamPerThread);
    return out.get();
  };

  Copies late;
  keys.add_to(late, c, slots, c.width);
  if (!c.is_latent()) values.add_to(late, c, slots, c.value_width);
  late.add(late_q.data(), q.data(), 0, static_cast<int64_t>(queries) * size_of(DType::kBF16));
  late.add(late_position.data(), position.data(), 0, sizeof(int32_t));
  const std::vector<float> expected = run(&LateRows::whole, q, position, {});
  EXPECT_EQ(expected, run(&LateRows::late, late_q, late_position, late))
      << c.width << ", " << c.tokens << " tokens from " << c.first << ", known " << known;
}

void expect_late_rows(const Case& c) {
  for (const int more : {0, -1, -70, 1, 45, 2000}) expect_late_rows(c, std::max(0, c.first + more));
  expect_late_rows(c, 0);
}

TEST(CudaAttentionOfLateRows, FewPositions) {
  for (const int first : {0, 1, 15, 64, 700})
    for (const int64_t tokens : {1, 3}) expect_late_rows({.tokens = tokens, .first = first});
}

TEST(CudaAttentionOfLateRows, ManyPositions) {
  for (const int first : {2304, 5001})
    for (const int64_t width : {64, 128, 256})
      expect_late_rows({.width = width, .value_width = width, .tokens = 2, .first = first});
}

TEST(CudaAttentionOfLateRows, LatentVectors) {
  for (const int first : {0, 63, 64, 200, 3000, 4095, 9001})
    for (const int64_t heads : {5, 70})
      for (const int64_t tokens : {1, 2})
        expect_late_rows({.width = 576,
                          .value_width = 512,
                          .heads = heads,
                          .cached_heads = 1,
                          .tokens = tokens,
                          .first = first});
}

}  // namespace
}  // namespace strake::cuda
