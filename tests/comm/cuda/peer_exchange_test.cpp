// GPUs of one host that write into each other's memory, beside NCCL.
#include <gtest/gtest.h>

#include "comm/cuda/exchanges.h"
#include "strake/comm/thread_group.h"

namespace strake {
namespace {

TEST(PeerExchange, ThreadsHaveTheBitsOfNccl) {
  EXPECT_NO_THROW(run_ranks(2, {}, [](Group& control) {
    check_gathers(control);
    check_sums(control);
  }));
}

}  // namespace
}  // namespace strake
