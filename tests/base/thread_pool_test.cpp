#include "strake/base/thread_pool.h"

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "io/expect_error.h"

namespace strake {
namespace {

TEST(ThreadPool, CoversEveryIndexOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const int64_t count : {0, 1, 2, 7, 8, 9, 1000}) {
      std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
      pool.for_ranges(count, [&](int64_t begin, int64_t end) {
        ASSERT_LT(begin, end);
        for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
      });
      for (const auto& visit : visits) EXPECT_EQ(visit, 1) << threads << " threads, " << count;
    }
  }
}

TEST(ThreadPool, ReturnsWhenAllAreDone) {
  ThreadPool pool(4);
  std::vector<int64_t> sums(100);
  for (int round = 0; round < 200; ++round) {
    pool.for_ranges(100, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) sums[static_cast<size_t>(i)] += i;
    });
  }
  EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), int64_t{0}), 200 * 4950);
}

TEST(ThreadPool, PassesExceptionsOn) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    for (const int64_t bad : {0, 1, 2}) {
      std::atomic<int> finished = 0;
      EXPECT_THROW(pool.for_ranges(3,
                                   [&](int64_t begin, int64_t end) {
                                     for (int64_t i = begin; i < end; ++i)
                                       if (i == bad) throw std::runtime_error("body");
                                     ++finished;
                                   }),
                   std::runtime_error);
      EXPECT_EQ(finished, threads - 1);
    }
    int ran = 0;
    pool.for_ranges(1, [&](int64_t, int64_t) { ++ran; });
    EXPECT_EQ(ran, 1) << "the pool still works";
  }
}

TEST(ThreadPool, RunsManyShortCalls) {
  for (const int threads : {2, 5}) {
    ThreadPool pool(threads);
    std::vector<int64_t> counts(7);
    for (int call = 0; call < 20000; ++call)
      pool.for_ranges(7, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++counts[static_cast<size_t>(i)];
      });
    for (const int64_t count : counts) EXPECT_EQ(count, 20000) << threads << " threads";
  }
}

TEST(ThreadPool, WakesThreadsThatSleep) {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int64_t> sum = 0;
    pool.for_ranges(100, [&](int64_t begin, int64_t end) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));  // longer than any spin
      sum += end - begin;
    });
    EXPECT_EQ(sum, 100);
  }
}

TEST(ThreadPool, FinishesWithMoreThreadsThanCores) {
  const int threads = 4 * static_cast<int>(std::thread::hardware_concurrency()) + 3;
  std::vector<std::thread> callers;  // with a crowded pool each
  std::atomic<int64_t> sum = 0;
  for (int caller = 0; caller < 3; ++caller)
    callers.emplace_back([&] {
      ThreadPool pool(threads);
      for (int call = 0; call < 200; ++call)
        pool.for_ranges(1000, [&](int64_t begin, int64_t end) { sum += end - begin; });
    });
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(sum, 3 * 200 * 1000);
}

TEST(ThreadPool, IdlePoolsEndAtOnce) {
  for (int round = 0; round < 100; ++round) ThreadPool pool(3);
}

TEST(ThreadPool, NeedsAThread) {
  for (const int threads : {0, -1})
    expect_error(ErrorKind::kUsage, "threads: at least 1 expected",
                 [&] { ThreadPool pool(threads); });
}

}  // namespace
}  // namespace strake
