#include "comm/timed_group.h"

#include <gtest/gtest.h>

#include <vector>

#include "strake/base/error.h"
#include "strake/comm/thread_group.h"

namespace strake {
namespace {

TEST(TimedGroup, PassesEveryCollectiveOnAndCountsIt) {
  run_ranks(2, {}, [](Group& group) {
    TimedGroup timed(group);
    EXPECT_EQ(timed.rank(), group.rank());
    EXPECT_EQ(timed.size(), 2);
    const auto mine = std::byte(10 + group.rank());
    std::vector<std::byte> all(2);
    const std::vector<int64_t> ones{1, 1};
    timed.all_gather(std::span(&mine, 1), all, ones);
    EXPECT_EQ(all, (std::vector{std::byte(10), std::byte(11)}));
    std::vector<std::byte> received(2);
    timed.all_to_all(all, ones, received, ones);
    EXPECT_EQ(received, std::vector(2, mine));
    auto byte = mine;
    timed.broadcast(std::span(&byte, 1), 1);
    EXPECT_EQ(byte, std::byte(11));
    timed.barrier();
    timed.check_step(7);
    EXPECT_EQ(timed.calls(), 5);
    EXPECT_GT(timed.seconds(), 0);
    EXPECT_THROW(timed.check_step(static_cast<uint64_t>(group.rank())), Error);
  });
}

}  // namespace
}  // namespace strake
