// The commands on GPUs, one for each of two processes, and every way in which one of them can fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <thread>

#include "comm/program.h"
#include "run.h"
#include "strake/base/error.h"
#include "strake/ops/backend.h"

namespace strake {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using testing::HasSubstr;

// From a failure to the end of the last process, with the deadline that GPUs have of themselves.
constexpr seconds kEnd{10};
constexpr seconds kStart{120};

size_t count_gpus() {
  try {
    return backend_devices("cuda").size();
  } catch (const Error&) {
    return 0;
  }
}

class CliGpuRanks : public testing::Test {
 protected:
  void SetUp() override {
    if (count_gpus() < 2) GTEST_SKIP() << "needs two GPUs";
  }
};

// The shipped model without a token that ends its texts.
fs::path copy_without_end(const fs::path& model) {
  fs::copy(kShipped, model);
  std::ofstream(model / "generation_config.json") << R"({"eos_token_id": 2000000000})";
  return model;
}

// The process of a run that mpirun has made this rank.
int process_of(const Program& run, int rank) {
  const std::string mark = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank);
  for (const int process : run.processes()) {
    std::ifstream file("/proc/" + std::to_string(process) + "/environ");
    for (std::string variable; std::getline(file, variable, '\0');)
      if (variable == mark) return process;
  }
  return 0;
}

// Runs a command until it is well beyond its start, sends a signal to a rank, and waits for the
// end.
void end_by_signal(const std::vector<std::string>& command, int rank, int signal) {
  // NCCL's message is the last before the model is loaded, which takes no time.
  std::vector<std::string> arguments{"/usr/bin/env", "NCCL_DEBUG=INFO", STRAKE_PROGRAM};
  arguments.insert(arguments.end(), command.begin(), command.end());
  arguments.insert(arguments.end(), {"--device", "cuda", "--ranks", "2", "--json"});
  Program run(arguments, Terminal::kNone, "--launch-agent");
  ASSERT_TRUE(run.wait_for("Init COMPLETE", kStart)) << run.output();
  std::this_thread::sleep_for(seconds(4));
  const int process = process_of(run, rank);
  ASSERT_GT(process, 0) << run.output();
  const auto start = Program::Clock::now();
  ::kill(process, signal);
  ASSERT_TRUE(run.wait_for_end(2 * kEnd)) << run.output();
  EXPECT_LT(Program::Clock::now() - start, kEnd);
  EXPECT_EQ(run.code(), 5) << run.output();
  const std::string name = "rank " + std::to_string(rank);
  EXPECT_THAT(run.output(),
              HasSubstr(signal == SIGKILL ? "strake: " + name + " died: killed by signal 9"
                                          : "no answer from " + name));
}

struct Failure {
  int rank;
  int signal;
};

class CliGpuFailure : public CliGpuRanks, public testing::WithParamInterface<Failure> {};

INSTANTIATE_TEST_SUITE_P(Of, CliGpuFailure,
                         testing::Values(Failure{1, SIGKILL}, Failure{1, SIGSTOP},
                                         Failure{0, SIGSTOP}),
                         [](const auto& instance) {
                           return std::string(instance.param.signal == SIGKILL ? "Killed"
                                                                               : "Stopped") +
                                  std::to_string(instance.param.rank);
                         });

TEST_P(CliGpuFailure, EndsDecoding) {
  const TemporaryDirectory directory;
  const fs::path model = copy_without_end(directory.path() / "model");
  end_by_signal({"generate", "--model", model.string(), "--ids", "35,79", "--max-tokens", "500000"},
                GetParam().rank, GetParam().signal);
}

TEST_P(CliGpuFailure, EndsAPrefill) {
  const TemporaryDirectory directory;
  const fs::path ids = directory.path() / "ids.json";
  {
    std::ofstream file(ids);
    file << "[35";
    for (int i = 0; i < 1'000'000; ++i) file << ',' << i % 2000;
    file << ']';
  }
  end_by_signal({"score", "--model", kShipped, "--ids-file", ids.string()}, GetParam().rank,
                GetParam().signal);
}

TEST_F(CliGpuRanks, BitsDoNotDependOnTheirNumber) {
  const std::string run = "--device cuda --json --ids 35,79,368,341,1000,17";
  const auto hash = [](const std::string& arguments) {
    const RunResult result = run_strake(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    return result.json().at("logits_hash").get<std::string>();
  };
  for (const std::string command : {"score ", "generate --max-tokens 16 "})
    EXPECT_EQ(hash(command + run + " --ranks 2"), hash(command + run)) << command;
  const RunResult verified = run_strake("verify --device cuda --ranks 1,2 --json");
  ASSERT_EQ(verified.code, 0) << verified.err;
  EXPECT_TRUE(verified.json().at("equal").get<bool>());
}

TEST_F(CliGpuRanks, ChatAnswersAndOutlivesTheDeadlineWhileTheUserThinks) {
  const TemporaryDirectory directory;
  const fs::path model = directory.path() / "model";
  fs::copy(kShipped, model);
  std::ofstream(model / "chat_template.jinja")
      << "{% for message in messages %}{{ message.content }}\n{% endfor %}";
  Program chat({STRAKE_PROGRAM, "chat", "--device", "cuda", "--ranks", "2", "--json", "--model",
                model.string(), "--max-tokens", "6", "--deadline", "2"},
               Terminal::kNone, "--launch-agent");
  chat.write("Who was Emma?\n");
  ASSERT_TRUE(chat.wait_for("\"prompt_tokens\"", kStart)) << chat.output();
  std::this_thread::sleep_for(seconds(4));
  chat.write("And her father?\n/exit\n");
  ASSERT_TRUE(chat.wait_for_end(kStart)) << chat.output();
  EXPECT_EQ(chat.code(), 0) << chat.output();
}

TEST_F(CliGpuRanks, MoreThanGpusAreRefusedBeforeAnyStarts) {
  for (const std::string command : {"generate --ids 1", "score --ids 1,2", "bench", "verify"}) {
    const RunResult result =
        run_strake(command + " --device cuda --ranks 2", "CUDA_VISIBLE_DEVICES=0 ");
    EXPECT_EQ(result.code, 4) << command;
    EXPECT_THAT(result.err,
                testing::StartsWith("strake: unsupported error: cuda: a GPU for each rank "
                                    "expected: rank 1 sees 1, which ranks before it have"));
  }
}

TEST_F(CliGpuRanks, EachMayBeStartedWithAGpuOfItsOwn) {
  const std::string generate = "generate --device cuda --ids 35,79 --max-tokens 4 --json";
  const RunResult result = run_strake(
      generate,
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -n 2 sh -c "
      "'CUDA_VISIBLE_DEVICES=$OMPI_COMM_WORLD_RANK exec \"$0\" \"$@\"' ");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json().at("ranks"), 2);
  EXPECT_EQ(result.json().at("logits_hash"), run_strake(generate).json().at("logits_hash"));
}

}  // namespace
}  // namespace strake
