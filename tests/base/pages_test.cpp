#include "base/pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace strake {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

std::byte* take(size_t bytes) { return static_cast<std::byte*>(take_pages(bytes)); }

bool is_mapped(std::byte* page) {
  unsigned char resident = 0;
  return ::mincore(page, 4096, &resident) == 0;
}

TEST(Pages, AreAlignedApartAndGivenBack) {
  std::vector<std::byte*> taken;
  for (const size_t bytes : {3 * kMiB, 2 * kMiB + 1, 5 * kMiB + 4097}) {
    std::byte* const pages = take(bytes);
    ASSERT_NE(pages, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(pages) % (2 * kMiB), 0U);
    std::memset(pages, static_cast<int>(taken.size()), bytes);
    taken.push_back(pages);
  }
  for (size_t i = 0; i < taken.size(); ++i)
    EXPECT_EQ(taken[i][2 * kMiB], static_cast<std::byte>(i));
  give_pages(taken[0], 3 * kMiB);
  give_pages(taken[1], 2 * kMiB + 1);
  give_pages(taken[2], 5 * kMiB + 4097);
  for (std::byte* const pages : taken) EXPECT_FALSE(is_mapped(pages));
}

TEST(Pages, MoreThanThereIsIsNone) { EXPECT_EQ(take_pages(size_t{1} << 60), nullptr); }

#ifndef STRAKE_SANITIZED

TEST(Pages, WhatIsKeptServesTheNextAndItsParts) {
  const KeptPages kept;
  std::byte* const first = take(8 * kMiB);
  first[7 * kMiB] = std::byte{7};
  give_pages(first, 8 * kMiB);
  EXPECT_TRUE(is_mapped(first));
  std::byte* const part = take(3 * kMiB);  // the rest begins within a huge page
  EXPECT_EQ(part, first);
  std::byte* const other = take(4 * kMiB);
  EXPECT_EQ(other, first + 4 * kMiB);
  EXPECT_EQ(other[3 * kMiB], std::byte{7});  // neither cleared nor new
  // Neighbours join again, whatever the order they come back in.
  give_pages(other, 4 * kMiB);
  give_pages(part, 3 * kMiB);
  std::byte* const whole = take(8 * kMiB);
  EXPECT_EQ(whole, first);
  give_pages(whole, 8 * kMiB);
}

TEST(Pages, WhatDoesNotFitReleasesWhatIsKept) {
  const KeptPages kept;
  std::byte* const small = take(4 * kMiB);
  std::byte* const guard = take(4 * kMiB);  // so that the larger one cannot lie where small was
  give_pages(small, 4 * kMiB);
  std::byte* const large = take(16 * kMiB);
  ASSERT_NE(large, nullptr);
  const bool again = small >= large && small < large + 16 * kMiB;
  EXPECT_TRUE(again || !is_mapped(small));
  give_pages(large, 16 * kMiB);
  give_pages(guard, 4 * kMiB);
}

TEST(Pages, NothingIsKeptBeyondTheLastScope) {
  std::byte* pages = nullptr;
  {
    const KeptPages outer;
    {
      const KeptPages inner;
      pages = take(4 * kMiB);
      give_pages(pages, 4 * kMiB);
    }
    EXPECT_TRUE(is_mapped(pages));
  }
  EXPECT_FALSE(is_mapped(pages));
}

TEST(Pages, TheTightestRangeServes) {
  const KeptPages kept;
  std::byte* const all = take(30 * kMiB);
  give_pages(all, 16 * kMiB);
  give_pages(all + 20 * kMiB, 6 * kMiB);
  std::byte* const next = take(5 * kMiB);
  EXPECT_EQ(next, all + 20 * kMiB);
  give_pages(next, 5 * kMiB);
  give_pages(all + 16 * kMiB, 4 * kMiB);
  give_pages(all + 26 * kMiB, 4 * kMiB);
}

#endif

}  // namespace
}  // namespace strake
