#include "mpirun_messages.h"

#include <gmock/gmock.h>

namespace strake {
namespace {

const std::string kRule(74, '-');

std::string message(const std::string& text) { return kRule + "\n" + text + kRule + "\n"; }

TEST(MpirunMessages, RanksOutputPassesAtOnce) {
  MpirunMessages messages;
  EXPECT_EQ(messages.take("reading 10 %\rreading 2"), "reading 10 %\rreading 2");
  EXPECT_EQ(messages.take("0 %"), "0 %");
  EXPECT_EQ(messages.take("\n[####  ] 3\n--model is"), "\n[####  ] 3\n--model is");
  EXPECT_EQ(messages.finish(), "");
  EXPECT_FALSE(messages.failed());
}

TEST(MpirunMessages, KilledRankGetsOneLine) {
  MpirunMessages messages;
  const std::string text = message("Primary job  terminated normally, but 1 process returned\n") +
                           message(
                               "mpirun noticed that process rank 12 with PID 0 on node vm exited"
                               " on signal 9 (Killed).\n");
  std::string passed;
  for (const char byte : text) passed += messages.take({&byte, 1});
  EXPECT_EQ(passed + messages.finish(), "");
  EXPECT_TRUE(messages.failed());
  EXPECT_EQ(messages.explanation(137), "strake: rank 12 died: killed by signal 9\n");
  EXPECT_EQ(messages.exit_code(137), 5);
}

TEST(MpirunMessages, EarlyEndIsALostRank) {
  MpirunMessages messages;
  EXPECT_EQ(messages.take(message("mpirun has exited due to process rank 1 with PID 0 on\n"
                                  "node vm exiting improperly. There are three reasons\n")),
            "");
  EXPECT_EQ(messages.explanation(1), "strake: rank 1 died: it ended before the run did\n");
  EXPECT_EQ(messages.exit_code(1), 5);
}

TEST(MpirunMessages, ExitCodeIsTheRanksOwn) {
  const std::string text = message(
      "mpirun detected that one or more processes exited with non-zero status, thus causing\n"
      "the job to be terminated. The first process to do so was:\n\n"
      "  Process name: [[30559,1],1]\n  Exit code:    3\n");
  MpirunMessages silent;
  EXPECT_EQ(silent.take(text), "");
  EXPECT_EQ(silent.explanation(3), "strake: rank 1 ended with exit code 3\n");
  EXPECT_EQ(silent.exit_code(3), 3);

  MpirunMessages explained;
  EXPECT_EQ(explained.take("strake: a.safetensors: damaged\n" + text),
            "strake: a.safetensors: damaged\n");
  EXPECT_EQ(explained.explanation(3), "");
  EXPECT_EQ(explained.exit_code(3), 3);
}

TEST(MpirunMessages, AbortOfARankSaysAll) {
  const std::string line = "strake: rank 1 of 3: weights are damaged\n";
  MpirunMessages messages;
  EXPECT_EQ(messages.take(line + message("MPI_ABORT was invoked on rank 1 in communicator\n") +
                          "[vm:07013] [[30619,0],0] ORTE_ERROR_LOG: Out of resource\n"),
            line);
  EXPECT_TRUE(messages.failed());
  EXPECT_EQ(messages.explanation(3), "");
  EXPECT_EQ(messages.exit_code(3), 3);
}

TEST(MpirunMessages, OtherMessagesAndTheLogAreNotLost) {
  const std::string unknown = message("There are not enough slots available\n");
  MpirunMessages messages;
  EXPECT_EQ(messages.take("[vm:1] cannot find a network\n" + unknown), unknown);
  EXPECT_FALSE(messages.failed());
  EXPECT_EQ(messages.explanation(1),
            "[vm:1] cannot find a network\nstrake: mpirun ended with exit code 1\n");
  EXPECT_EQ(messages.exit_code(243), 5);
}

TEST(MpirunMessages, ExitCodeNamesTheSignalWhereNothingElseDoes) {
  EXPECT_EQ(MpirunMessages().explanation(137), "strake: a rank died: killed by signal 9\n");
  EXPECT_EQ(MpirunMessages().explanation(139), "strake: a rank died: killed by signal 11\n");
  EXPECT_EQ(MpirunMessages().explanation(128), "strake: mpirun ended with exit code 128\n");
  EXPECT_EQ(MpirunMessages().explanation(243), "strake: mpirun ended with exit code 243\n");
  EXPECT_EQ(MpirunMessages().exit_code(137), 5);
}

TEST(MpirunMessages, UnfinishedMessageIsNotLost) {
  MpirunMessages messages;
  EXPECT_EQ(messages.take(kRule + "\nhalf a"), "");
  EXPECT_EQ(messages.finish(), kRule + "\nhalf a");
}

}  // namespace
}  // namespace strake
