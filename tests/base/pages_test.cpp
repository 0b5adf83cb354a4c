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

TEST(Pages, WhatIsKeptServesTheNextOfItsSize) {
  const KeptPages kept(64 * kMiB);
  std::byte* const first = take(8 * kMiB);
  first[7 * kMiB] = std::byte{7};
  give_pages(first, 8 * kMiB);
  EXPECT_TRUE(is_mapped(first));
  std::byte* const larger = take(8 * kMiB + 1);
  EXPECT_NE(larger, first);
  std::byte* const smaller = take(7 * kMiB);
  EXPECT_NE(smaller, first);
  std::byte* const next = take(8 * kMiB - 4096);
  EXPECT_EQ(next, first);
  EXPECT_EQ(next[7 * kMiB], std::byte{7});  // neither cleared nor new
  EXPECT_FALSE(is_mapped(first + 8 * kMiB - 4096));
  give_pages(next, 8 * kMiB - 4096);
  give_pages(smaller, 7 * kMiB);
  give_pages(larger, 8 * kMiB + 1);
}

TEST(Pages, TheLatestAreKeptUpToTheMost) {
  const KeptPages kept(10 * kMiB);
  std::byte* const first = take(4 * kMiB);
  std::byte* const second = take(4 * kMiB);
  std::byte* const third = take(4 * kMiB);
  std::byte* const large = take(11 * kMiB);
  give_pages(first, 4 * kMiB);
  give_pages(second, 4 * kMiB);
  give_pages(third, 4 * kMiB);
  EXPECT_FALSE(is_mapped(first));
  give_pages(large, 11 * kMiB);
  EXPECT_FALSE(is_mapped(large));
  EXPECT_TRUE(is_mapped(second));
  EXPECT_TRUE(is_mapped(third));
}

TEST(Pages, NothingIsKeptBeyondTheLastScope) {
  std::byte* pages = nullptr;
  {
    const KeptPages outer(8 * kMiB);
    {
      const KeptPages inner(4 * kMiB);
      pages = take(8 * kMiB);
      give_pages(pages, 8 * kMiB);
    }
    EXPECT_TRUE(is_mapped(pages));
  }
  EXPECT_FALSE(is_mapped(pages));
}

#endif

}  // namespace
}  // namespace strake
