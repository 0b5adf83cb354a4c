// The launcher: streams, signals, and the end of its own processes.

#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <thread>

#include "program.h"

namespace strake {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

constexpr seconds kEnd{5};
constexpr seconds kStart{40};

const std::vector<std::string> kEndless{RANKS_PROGRAM, "loop", "--ranks", "3"};

TEST(Launch, SignalsEndTheRun) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    Program program(kEndless);
    ASSERT_TRUE(program.wait_for("event on", kStart)) << program.output();
    program.send_signal(signal);
    ASSERT_TRUE(program.wait_for_end(kEnd)) << program.output();
    EXPECT_EQ(program.code(), 128 + signal);
  }
}

TEST(Launch, DeathOfTheLauncherEndsTheRun) {
  Program program(kEndless);
  ASSERT_TRUE(program.wait_for("event on", kStart)) << program.output();
  program.send_signal(SIGKILL);
  EXPECT_TRUE(program.wait_for_end(kEnd)) << program.output();
}

TEST(Launch, DeathOfMpirunEndsTheRun) {
  Program program(kEndless);
  ASSERT_TRUE(program.wait_for("event on", kStart)) << program.output();
  for (const int process : program.processes()) {
    const auto path = "/proc/" + std::to_string(process) + "/exe";
    if (std::filesystem::read_symlink(path).filename() == "orterun") ::kill(process, SIGKILL);
  }
  ASSERT_TRUE(program.wait_for_end(kEnd)) << program.output();
  EXPECT_EQ(program.code(), 5);
  EXPECT_THAT(program.output(), HasSubstr("strake: mpirun died: killed by signal 9\n"));
}

// Signals of a process go to any of its threads.
TEST(Launch, EndsWhereTheLauncherHasOtherThreads) {
  for (int run = 0; run < 5; ++run) {
    Program program({RANKS_PROGRAM, "ok", "--ranks", "2", "--threads", "8"});
    ASSERT_TRUE(program.wait_for_end(kStart)) << program.output();
    EXPECT_EQ(program.code(), 0) << program.output();
  }
}

// A stopped rank and a signal together: nothing may wait for the stopped one.
TEST(Launch, SignalEndsAStoppedRun) {
  Program program({RANKS_PROGRAM, "stop", "--ranks", "2"});
  ASSERT_TRUE(program.wait_for("event on", kStart)) << program.output();
  program.send_signal(SIGTERM);
  EXPECT_TRUE(program.wait_for_end(kEnd)) << program.output();
}

TEST(Launch, RankZeroConversesThroughATerminal) {
  Program program({RANKS_PROGRAM, "echo", "--ranks", "2"}, Terminal::kPseudo);
  for (const std::string line : {"one", "two"}) {
    program.write(line + "\n");
    ASSERT_TRUE(program.wait_for("answer to " + line, kStart)) << program.output();
  }
  EXPECT_THAT(program.output(), HasSubstr("hello, user"));
  program.write("\x04");  // end of input
  ASSERT_TRUE(program.wait_for_end(kStart)) << program.output();
  EXPECT_EQ(program.code(), 0) << program.output();
}

TEST(Launch, RanksWaitLongerThanTheDeadlineForInput) {
  Program program({RANKS_PROGRAM, "echo", "--ranks", "2", "--deadline", "1000"});
  program.write("one\n");
  ASSERT_TRUE(program.wait_for("answer to one", kStart)) << program.output();
  std::this_thread::sleep_for(seconds(3));
  program.write("two\n");
  ASSERT_TRUE(program.wait_for("answer to two", kStart)) << program.output();
  EXPECT_THAT(program.output(), Not(HasSubstr("hello, user")));
}

TEST(Launch, InterruptFromATerminalEndsTheRun) {
  Program program({RANKS_PROGRAM, "echo", "--ranks", "2"}, Terminal::kPseudo);
  program.write("one\n");
  ASSERT_TRUE(program.wait_for("answer to one", kStart)) << program.output();
  program.write("\x03");
  ASSERT_TRUE(program.wait_for_end(kEnd)) << program.output();
  EXPECT_EQ(program.code(), 128 + SIGINT) << program.output();
}

TEST(Launch, MissingMpirunNamesThePackage) {
  Program program({"/usr/bin/env", "PATH=/nowhere", RANKS_PROGRAM, "ok", "--ranks", "2"});
  ASSERT_TRUE(program.wait_for_end(kStart));
  EXPECT_EQ(program.code(), 6);
  EXPECT_THAT(program.output(), HasSubstr("mpirun is not in PATH"));
  EXPECT_THAT(program.output(), HasSubstr("openmpi-bin"));
}

TEST(Launch, UnknownMpirunOptionShowsItsMessage) {
  Program program({RANKS_PROGRAM, "ok", "--ranks", "2", "--mpirun-arg", "--no-such-option"});
  ASSERT_TRUE(program.wait_for_end(kStart)) << program.output();
  EXPECT_NE(program.code(), 0);
  EXPECT_THAT(program.output(), HasSubstr("no-such-option"));
}

}  // namespace
}  // namespace strake
