#include "base/recycled.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <thread>

namespace strake {
namespace {

TEST(Recycled, BlocksAreAlignedAndApart) {
  struct Taken {
    unsigned char* block;
    size_t bytes;
    unsigned char mark;
  };
  std::mt19937 random(1);
  std::vector<Taken> taken;
  for (int i = 0; i < 20'000; ++i) {
    if (taken.size() < 40 || random() % 2 == 0) {
      const size_t bytes = random() % (size_t{1} << random() % 22);
      auto* const block = static_cast<unsigned char*>(take_block(bytes));
      ASSERT_NE(block, nullptr);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(block) % 64, 0u);
      taken.push_back({block, bytes, static_cast<unsigned char>(random())});
      if (bytes > 0) block[0] = block[bytes - 1] = taken.back().mark;
    } else {
      std::swap(taken[random() % taken.size()], taken.back());
      const auto [block, bytes, mark] = taken.back();
      ASSERT_TRUE(bytes == 0 || (block[0] == mark && block[bytes - 1] == mark));
      give_block(block, bytes);
      taken.pop_back();
    }
  }
  for (const auto& [block, bytes, mark] : taken) give_block(block, bytes);
}

TEST(Recycled, MemoryMayBeGivenBackElsewhere) {
  Recycled<int> values;
  std::thread([&] { values.assign(1000, 7); }).join();
  EXPECT_EQ(values.at(999), 7);
  std::thread([own = std::move(values)] { EXPECT_EQ(own.at(0), 7); }).join();
}

#ifndef STRAKE_SANITIZED

TEST(Recycled, TheLastBlockOfASizeIsTheNext) {
  void* const first = take_block(5000);
  void* const second = take_block(5000);
  give_block(first, 5000);
  give_block(second, 5000);
  EXPECT_EQ(take_block(4999), second);  // of sizes close together, too
  EXPECT_EQ(take_block(5000), first);
  give_block(first, 5000);
  give_block(second, 5000);
}

// What a long prompt leaves does not push out what every step asks for.
TEST(Recycled, WhatIsNotAskedForGoesFirst) {
  void* const small = take_block(1000);
  give_block(small, 1000);
  constexpr size_t kLarge = size_t{1} << 20;
  for (int i = 0; i < 4; ++i) {
    void* large[3];
    for (void*& block : large) block = take_block(kLarge + (static_cast<size_t>(i) << 18));
    for (void* const block : large) give_block(block, kLarge + (static_cast<size_t>(i) << 18));
    void* const again = take_block(1000);
    EXPECT_EQ(again, small);
    give_block(again, 1000);
  }
}

#endif

}  // namespace
}  // namespace strake
