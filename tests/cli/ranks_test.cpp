// The commands on several processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>

#include <fstream>

#include "comm/program.h"
#include "io/safetensors.h"
#include "run.h"

namespace strake {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::MatchesRegex;

TEST(CliRanks, TokensAndBitsDoNotDependOnTheNumberOfProcesses) {
  for (const std::string sampling : {"", " --temperature 0.8 --top-p 0.9 --seed 5"}) {
    const std::string generate =
        "generate --prompt 'It is a truth' --max-tokens 16 --json" + sampling;
    const Json one = run_strake(generate).json();
    for (const char* ranks : {"2", "3"}) {
      const RunResult result = run_strake(generate + " --ranks " + ranks);
      ASSERT_EQ(result.code, 0) << result.err;
      const Json json = result.json();
      EXPECT_EQ(json.at("tokens"), one.at("tokens"));
      EXPECT_EQ(json.at("logits_hash"), one.at("logits_hash"));
      EXPECT_EQ(json.at("bytes_per_rank").size(), static_cast<size_t>(std::stoi(ranks)));
    }
  }
}

TEST(CliRanks, AStopStringEndsTheTextAfterTheSameTokens) {
  const std::string generate = "generate --prompt 'It is a truth' --max-tokens 16 --json";
  const Json whole = run_strake(generate).json();
  const auto text = whole.at("text").get<std::string>();
  // From within a token to within the second after it.
  const std::string stop = "ow what t";
  ASSERT_NE(text.find(stop), std::string::npos) << text;
  for (const char* ranks : {"1", "2"}) {
    const RunResult result = run_strake(generate + " --ranks " + ranks + " --stop '" + stop + "'");
    ASSERT_EQ(result.code, 0) << result.err;
    const Json json = result.json();
    EXPECT_EQ(json.at("text"), text.substr(0, text.find(stop)));
    EXPECT_EQ(json.at("finish_reason"), "stop");
    // The token that completes the string counts.
    ASSERT_EQ(json.at("tokens").size(), 11u);
    for (size_t i = 0; i < 11; ++i) EXPECT_EQ(json.at("tokens")[i], whole.at("tokens")[i]);
  }
}

TEST(CliRanks, RanksHaveProcessorsOfTheirOwn) {
  cpu_set_t usable;
  ASSERT_EQ(::sched_getaffinity(0, sizeof usable, &usable), 0);
  if (CPU_COUNT(&usable) < 2) GTEST_SKIP() << "needs two processors";
  const std::string generate = "generate --ids 35,79 --max-tokens 4 --ranks 2 --threads 1 --json";
  const Json placed = run_strake(generate).json();
  const Json cpus = placed.at("cpus_per_rank");
  ASSERT_EQ(cpus.size(), 2u);
  EXPECT_THAT(cpus[0].get<std::string>(), MatchesRegex("[0-9]+"));
  EXPECT_THAT(cpus[1].get<std::string>(), MatchesRegex("[0-9]+"));
  EXPECT_NE(cpus[0], cpus[1]);
  EXPECT_EQ(placed.at("threads_per_rank"), Json({1, 1}));
  const Json free = run_strake(generate + " --placement none").json();
  EXPECT_EQ(free.at("cpus_per_rank"), Json({"", ""}));
  EXPECT_EQ(free.at("logits_hash"), placed.at("logits_hash"));
}

TEST(CliRanks, RanksOnOneProcessorShareIt) {
  const RunResult result = run_strake("generate --ids 35,79 --max-tokens 4 --ranks 2 --json",
                                      "taskset -c $(taskset -cp $$ | sed 's/.*[ ,-]//') ");
  ASSERT_EQ(result.code, 0) << result.err;
  const Json json = result.json();
  EXPECT_EQ(json.at("threads_per_rank"), Json({1, 1}));
  EXPECT_EQ(json.at("cpus_per_rank")[0], json.at("cpus_per_rank")[1]);
  EXPECT_EQ(run_strake("generate --ids 35,79 --max-tokens 4 --json").json().at("logits_hash"),
            json.at("logits_hash"));
}

TEST(CliRanks, PrefillLogitsHaveTheSameBits) {
  const TemporaryDirectory directory;
  const auto logits = [&](const std::string& ranks) {
    const fs::path file = directory.path() / ("logits-" + ranks);
    const RunResult result = run_strake("score --ids 35,79,368,341,1000,17 --ranks " + ranks +
                                        " --logits " + file.string());
    EXPECT_EQ(result.code, 0) << result.err;
    return read_text_file(file);
  };
  const std::string one = logits("1");
  EXPECT_EQ(logits("2"), one);
  EXPECT_EQ(logits("3"), one);
}

TEST(CliRanks, RunsUnderTheUsersOwnMpirun) {
  const std::string generate = "generate --ids 35,79 --max-tokens 4 --json";
  const RunResult result = run_strake(
      generate,
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -n 2 ");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json().at("ranks"), 2);
  EXPECT_EQ(result.json().at("logits_hash"), run_strake(generate).json().at("logits_hash"));
}

TEST(CliRanks, BenchRunsEachRankCountAndAllAgree) {
  const TemporaryDirectory directory;
  const fs::path plot = directory.path() / "plot.svg";
  const RunResult result = run_strake(
      "bench --json --ranks 1,2 --shape smollm2-135m --layers 1 --contexts 4,9 --tokens 3 "
      "--repeats 1 --plot " +
      plot.string());
  ASSERT_EQ(result.code, 0) << result.err;
  const Json runs = result.json().at("runs");
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].at("ranks"), 1);
  EXPECT_EQ(runs[1].at("ranks"), 2);
  EXPECT_EQ(runs[1].at("bytes_per_rank").size(), 2u);
  EXPECT_GT(runs[1].at("contexts")[0].at("decode").at("collective_seconds"), 0);
  for (size_t i = 0; i < 2; ++i)
    EXPECT_EQ(runs[1].at("contexts")[i].at("logits_hash"),
              runs[0].at("contexts")[i].at("logits_hash"));
  // A line a context in each panel.
  const std::string svg = read_text_file(plot);
  EXPECT_THAT(svg, HasSubstr("context 4"));
  EXPECT_THAT(svg, HasSubstr("context 9"));
  size_t lines = 0;
  for (size_t at = svg.find("<polyline"); at != svg.npos; at = svg.find("<polyline", at + 1))
    ++lines;
  EXPECT_EQ(lines, 4u);
}

TEST(CliRanks, BenchReportsUnderTheUsersOwnMpirun) {
  const std::string mpirun =
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -n 2 ";
  const std::string bench = "bench --contexts 4 --tokens 2 --repeats 1 --json";
  const RunResult result = run_strake(bench, mpirun);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json().at("runs")[0].at("ranks"), 2);
  EXPECT_THAT(run_strake(bench + " --ranks 1,3", mpirun).err,
              HasSubstr("--ranks: 2 expected, as mpirun started, found 1,3"));
}

TEST(CliRanks, AKilledRankEndsABench) {
  Program run({STRAKE_PROGRAM, "bench", "--ranks", "2", "--tokens", "1000000", "--repeats", "1"},
              Terminal::kNone, "--plot");
  // The launcher, mpirun and the ranks. What mpirun has forked becomes a rank when it runs the
  // program; before that its death is mpirun's to explain.
  const auto limit = Program::Clock::now() + seconds(30);
  const auto is_rank = [](int process) {
    std::error_code error;
    const auto program = fs::read_symlink("/proc/" + std::to_string(process) + "/exe", error);
    return !error && fs::equivalent(program, STRAKE_PROGRAM, error);
  };
  std::vector<int> processes;
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    processes = run.processes();
  } while ((processes.size() < 4 || !is_rank(processes.back())) && Program::Clock::now() < limit);
  ASSERT_EQ(processes.size(), 4u);
  ::kill(processes.back(), SIGKILL);
  ASSERT_TRUE(run.wait_for_end(seconds(30)));
  EXPECT_EQ(run.code(), 5) << run.output();
  EXPECT_THAT(run.output(), HasSubstr("signal 9"));
}

TEST(CliRanks, AKilledRankEndsTheRunAndIsNamed) {
  Program run(
      {STRAKE_PROGRAM, "generate", "--ids", "35,79", "--max-tokens", "100000", "--ranks", "2"},
      Terminal::kNone, "--system");
  ASSERT_TRUE(run.wait_for(" ", seconds(30)));
  // The youngest process of the run is a rank.
  const std::vector<int> processes = run.processes();
  ASSERT_GE(processes.size(), 3u);
  const auto start = Program::Clock::now();
  ::kill(processes.back(), SIGKILL);
  ASSERT_TRUE(run.wait_for_end(seconds(30)));
  EXPECT_LT(Program::Clock::now() - start, seconds(5));
  EXPECT_EQ(run.code(), 5) << run.output();
  EXPECT_THAT(run.output(), HasSubstr("strake: rank "));
  EXPECT_THAT(run.output(), HasSubstr("signal 9"));
}

// The shipped model, with a chat template.
fs::path copy_with_template(const fs::path& model) {
  fs::copy(kShipped, model);
  std::ofstream(model / "chat_template.jinja")
      << "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
         "{% if add_generation_prompt %}assistant:{% endif %}";
  return model;
}

Program chat_on_two_ranks(const fs::path& model, const std::vector<std::string>& more) {
  std::vector<std::string> arguments{STRAKE_PROGRAM, "chat", "--model", model.string(),
                                     "--ranks",      "2",    "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return Program(arguments, Terminal::kNone, "--system");
}

TEST(CliRanks, ChatAnswersEndAtAStopString) {
  const TemporaryDirectory directory;
  const fs::path model = copy_with_template(directory.path() / "model");
  Program chat = chat_on_two_ranks(model, {"--logit-bias", "420=1e4", "--stop", "o do"});
  chat.write("Who was Emma?\n/exit\n");
  ASSERT_TRUE(chat.wait_for_end(seconds(30)));
  EXPECT_EQ(chat.code(), 0) << chat.output();
  EXPECT_THAT(chat.output(),
              HasSubstr(R"({"text":" d","tokens":[420,420],"finish_reason":"stop",)"));
}

TEST(CliRanks, ChatKeepsTheConversationAndOutlivesTheDeadlineWhileTheUserThinks) {
  const TemporaryDirectory directory;
  const fs::path model = copy_with_template(directory.path() / "model");
  Program chat = chat_on_two_ranks(model, {"--max-tokens", "6", "--deadline", "2"});
  chat.write("Who was Emma?\n");
  ASSERT_TRUE(chat.wait_for("\"prompt_tokens\"", seconds(30))) << chat.output();
  std::this_thread::sleep_for(seconds(4));  // longer than the deadline
  chat.write("And her father?\n/exit\n");
  ASSERT_TRUE(chat.wait_for_end(seconds(30)));
  EXPECT_EQ(chat.code(), 0) << chat.output();
  // The second prompt holds the first exchange, which need not be run again.
  const std::string output = chat.output();
  const size_t second = output.find("{\"text\"", 1 + output.find("{\"text\""));
  ASSERT_NE(second, std::string::npos) << output;
  const Json answer = parse_json(output.substr(second, output.find('\n', second) - second), "line");
  EXPECT_EQ(answer.at("tokens").size(), 6u);
  EXPECT_EQ(answer.at("finish_reason"), "length");
  EXPECT_LT(answer.at("prompt_tokens"), 24);
}

}  // namespace
}  // namespace strake
