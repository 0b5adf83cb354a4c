// Ranks as processes: right results, and every way in which a rank can fail.
#include <gmock/gmock.h>
#include <signal.h>

#include <cstdlib>

#include "program.h"

namespace strake {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

// The bound on the time from a rank's failure to the end of the last process.
constexpr seconds kEnd{5};
constexpr seconds kStart{40};

std::vector<std::string> launched(const std::string& mode, int ranks) {
  return {RANKS_PROGRAM, mode, "--ranks", std::to_string(ranks)};
}

std::vector<std::string> under_mpirun(const std::string& mode, int ranks) {
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  return {MPIRUN,        "-n",   std::to_string(ranks),
          "--bind-to",   "none", "--oversubscribe",
          "--mca",       "plm",  "isolated",
          "--mca",       "btl",  "vader,self",
          RANKS_PROGRAM, mode};
}

// Waits for the failure in rank 1, and for the end within the bound after it.
void expect_end(Program& program) {
  ASSERT_TRUE(program.wait_for("event on", kStart)) << program.output();
  ASSERT_TRUE(program.wait_for_end(kEnd)) << program.output();
}

TEST(MpiGroup, RanksExchangeRightBytes) {
  for (const int ranks : {2, 3, 5}) {
    Program program(launched("ok", ranks));
    ASSERT_TRUE(program.wait_for_end(kStart)) << program.output();
    EXPECT_EQ(program.code(), 0) << program.output();
    EXPECT_THAT(program.output(), HasSubstr(std::to_string(ranks) + " ranks agree"));
  }
}

TEST(MpiGroup, RunsUnderMpirun) {
  Program program(under_mpirun("ok", 3));
  ASSERT_TRUE(program.wait_for_end(kStart)) << program.output();
  EXPECT_EQ(program.code(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("3 ranks agree"));
}

TEST(MpiGroup, LargeMessagesGoInParts) {
  Program program(launched("large", 2));
  ASSERT_TRUE(program.wait_for_end(kStart)) << program.output();
  EXPECT_EQ(program.code(), 0) << program.output();
}

TEST(MpiGroup, KilledRankEndsAll) {
  Program program(launched("die", 3));
  expect_end(program);
  EXPECT_EQ(program.code(), 5);
  EXPECT_THAT(program.output(), HasSubstr("strake: rank 1 died: killed by signal 9\n"));
}

TEST(MpiGroup, KilledRankEndsAllUnderMpirun) {
  Program program(under_mpirun("die", 3));
  expect_end(program);
  EXPECT_NE(program.code(), 0);
  EXPECT_THAT(program.output(), HasSubstr("process rank 1"));
}

TEST(MpiGroup, ExceptionEndsAllWithItsCode) {
  for (const auto& arguments : {launched("throw", 3), under_mpirun("throw", 3)}) {
    Program program(arguments);
    expect_end(program);
    EXPECT_EQ(program.code(), 3);
    EXPECT_THAT(program.output(),
                HasSubstr("strake: rank 1 of 3: weights of rank 1 are damaged\n"));
  }
}

TEST(MpiGroup, ExceptionThatNobodyAbortsForEndsAll) {
  Program program(launched("escape", 3));
  expect_end(program);
  EXPECT_EQ(program.code(), 3) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("strake: weights of rank 1 are damaged\n"));
}

TEST(MpiGroup, StoppedRankIsFoundByTheDeadline) {
  for (auto arguments : {launched("stop", 3), under_mpirun("stop", 3)}) {
    arguments.insert(arguments.end(), {"--deadline", "2000"});
    Program program(arguments);
    expect_end(program);
    EXPECT_EQ(program.code(), 5);
    EXPECT_THAT(program.output(),
                HasSubstr("no answer from rank 1 within 2000 ms in all_gather, step 20"));
  }
}

TEST(MpiGroup, RankThatStopsBeforeMpiStartsIsFoundByTheDeadline) {
  auto arguments = launched("stop-early", 2);
  arguments.insert(arguments.end(), {"--deadline", "2000"});
  Program program(arguments);
  ASSERT_TRUE(program.wait_for("event", kStart)) << program.output();
  ASSERT_TRUE(program.wait_for_end(seconds(15))) << program.output();
  EXPECT_EQ(program.code(), 5);
  EXPECT_THAT(program.output(),
              HasSubstr("strake: rank 0 of 2: MPI did not start on every rank within 10000 ms\n"));
}

TEST(MpiGroup, RankThatExitsEarlyIsFound) {
  Program program(launched("exit", 3));
  expect_end(program);
  EXPECT_EQ(program.code(), 5);
  EXPECT_THAT(program.output(), HasSubstr("strake: rank 1 died: it ended before the run did\n"));
}

TEST(MpiGroup, RankThatExitsWithACodeIsNamed) {
  Program program(launched("code", 3));
  expect_end(program);
  EXPECT_EQ(program.code(), 4);
  EXPECT_THAT(program.output(), HasSubstr("strake: rank 1 ended with exit code 4\n"));
}

TEST(MpiGroup, RankThatLeavesTheGroupIsFound) {
  Program program(launched("return", 3));
  expect_end(program);
  EXPECT_EQ(program.code(), 5);
  EXPECT_THAT(program.output(), HasSubstr("rank 1 left the run before all_gather, step 20"));
}

TEST(MpiGroup, DivergedRankIsFoundAtItsStep) {
  Program program(launched("diverge", 3));
  expect_end(program);
  EXPECT_EQ(program.code(), 5);
  EXPECT_THAT(program.output(),
              HasSubstr("ranks diverged: rank 0 has step 20 with fingerprint 0000000000000000, "
                        "rank 1 has step 20 with fingerprint 0000000000000007"));
}

TEST(MpiGroup, WrongSizeIsFound) {
  Program program(launched("mismatch", 2));
  expect_end(program);
  EXPECT_EQ(program.code(), 5);
  EXPECT_THAT(program.output(), testing::AnyOf(HasSubstr("16 bytes of rank 1 expected, found 3"),
                                               HasSubstr("3 bytes of rank 0 expected, found 16")));
}

TEST(MpiGroup, WrongCollectiveIsFound) {
  Program program(launched("elsewhere", 2));
  expect_end(program);
  EXPECT_EQ(program.code(), 5);
  EXPECT_THAT(program.output(), testing::AnyOf(HasSubstr("(all_gather) of rank 1 expected, found"),
                                               HasSubstr("(barrier) of rank 0 expected, found")));
}

}  // namespace
}  // namespace strake
