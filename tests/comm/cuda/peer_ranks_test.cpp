// The same with ranks as processes.
#include <gmock/gmock.h>

#include "comm/program.h"

namespace strake {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

constexpr seconds kLimit{120};

std::vector<std::string> launched(const std::string& mode) {
  return {GPU_RANKS_PROGRAM, mode, "--ranks", "2"};
}

TEST(PeerRanks, HaveTheBitsOfNccl) {
  Program program(launched("bits"));
  ASSERT_TRUE(program.wait_for_end(kLimit)) << program.output();
  EXPECT_EQ(program.code(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("bits agree"));
}

TEST(PeerRanks, HaveTheBitsOfNcclInGraphs) {
  Program program(launched("replays"));
  ASSERT_TRUE(program.wait_for_end(kLimit)) << program.output();
  EXPECT_EQ(program.code(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("bits agree"));
}

TEST(PeerRanks, FindASilentRankByTheDeadline) {
  auto arguments = launched("silent");
  arguments.insert(arguments.end(), {"--deadline", "8000"});
  Program program(arguments);
  ASSERT_TRUE(program.wait_for_end(kLimit)) << program.output();
  EXPECT_EQ(program.code(), 5) << program.output();
  const std::string message = "no answer from rank 1 within 5000 ms in all_gather, step 1\n";
  EXPECT_THAT(program.output(), HasSubstr(message + message));
}

}  // namespace
}  // namespace strake
