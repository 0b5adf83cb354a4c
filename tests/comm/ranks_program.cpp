// A run of several ranks that goes on step by step, and one rank of which may fail on request.
//   ranks_program MODE [--ranks N] [--rank R] [--deadline MS] [--hostfile F] [--launch-agent A]
//                      [--mpirun-arg A]... [--threads N] [--mark TEXT]
// --threads: that the launcher has besides its own
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <iostream>
#include <numeric>
#include <thread>

#include "base/fail.h"
#include "comm/communicators.h"
#include "launch.h"
#include "strake/comm/await.h"
#include "strake/comm/mpi_group.h"

namespace strake {
namespace {

constexpr int kEventStep = 20;

struct Settings {
  std::string mode;
  int failing_rank = 1;
  GroupOptions group;
  int threads = 0;
  LaunchOptions launch{.ranks = 1, .hostfile = {}, .launch_agent = {}, .mpirun_args = {}};
};

Settings parse(std::span<const std::string> arguments) {
  Settings settings;
  settings.mode = arguments[0];
  for (size_t index = 1; index + 1 < arguments.size(); index += 2) {
    const std::string& name = arguments[index];
    const std::string& value = arguments[index + 1];
    if (name == "--ranks") settings.launch.ranks = std::stoi(value);
    if (name == "--rank") settings.failing_rank = std::stoi(value);
    if (name == "--deadline") settings.group.deadline = std::chrono::milliseconds(std::stoi(value));
    if (name == "--threads") settings.threads = std::stoi(value);
    if (name == "--hostfile") settings.launch.hostfile = value;
    if (name == "--launch-agent") settings.launch.launch_agent = value;
    if (name == "--mpirun-arg") settings.launch.mpirun_args.push_back(value);
  }
  return settings;
}

// Every rank's piece, of uneven length, must arrive in its place.
void exchange_all(Group& group, int step) {
  std::vector<int64_t> counts(group.size());
  for (int rank = 0; rank < group.size(); ++rank) counts[rank] = 4096 * (rank + step % 3);
  const auto value = [&](int rank) { return static_cast<std::byte>(16 * rank + step); };
  const std::vector<std::byte> mine(counts[group.rank()], value(group.rank()));
  std::vector<std::byte> all(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  group.all_gather(mine, all, counts);
  std::vector<std::byte> expected;
  for (int rank = 0; rank < group.size(); ++rank)
    expected.insert(expected.end(), counts[rank], value(rank));
  if (all != expected) fail(ErrorKind::kInternal, "all_gather: wrong bytes in step {}", step);
}

// What goes wrong in the failing rank.
void event(const std::string& mode, Group& group) {
  char host[256] = {};
  ::gethostname(host, sizeof(host) - 1);
  std::fprintf(stderr, "event on %s\n", host);
  if (mode == "die") ::raise(SIGKILL);
  if (mode == "stop") ::raise(SIGSTOP);
  if (mode == "exit") ::_exit(0);
  if (mode == "code") ::_exit(4);
  if (mode == "throw" || mode == "escape")
    fail(ErrorKind::kCheckpoint, "weights of rank {} are damaged", group.rank());
  if (mode == "mismatch") {
    std::vector<std::byte> bytes(3 * group.size());
    const std::vector<int64_t> counts(group.size(), 3);
    group.all_gather(std::span(bytes).first(3), bytes, counts);
  }
  if (mode == "elsewhere") group.barrier();
}

void run_steps(const Settings& settings, Group& group) {
  const bool endless = settings.mode != "ok";
  for (int step = 1; endless || step <= 200; ++step) {
    const bool fails = step == kEventStep && group.rank() == settings.failing_rank;
    if (fails) event(settings.mode, group);
    if (fails && settings.mode == "return") return;
    group.check_step(fails && settings.mode == "diverge" ? 7 : 0);
    exchange_all(group, step % 16);
    if (endless) ::usleep(1'000);
  }
  if (group.rank() == 0) std::printf("%d ranks agree\n", group.size());
}

bool input_within(std::chrono::milliseconds limit) {
  pollfd ready{STDIN_FILENO, POLLIN, 0};
  return ::poll(&ready, 1, static_cast<int>(limit.count())) != 0;
}

// Rank 0 answers each line of its input, once all ranks have it.
void echo(Group& group, const GroupOptions& options) {
  if (group.rank() == 0 && is_terminal(STDIN_FILENO)) std::cout << "hello, user" << std::endl;
  for (std::string line;;) {
    await_on_rank_zero(group, options, input_within);
    int64_t length = -1;
    if (group.rank() == 0 && std::getline(std::cin, line)) length = std::ssize(line);
    group.broadcast(std::as_writable_bytes(std::span(&length, 1)), 0);
    if (length < 0) return;
    line.resize(length);
    group.broadcast(std::as_writable_bytes(std::span(line)), 0);
    group.barrier();
    if (group.rank() == 0) std::cout << "answer to " << line << std::endl;
  }
}

// A broadcast and an exchange of more bytes than one message holds.
void exchange_large(Group& group) {
  constexpr size_t kBytes = (size_t{64} << 20) + 5;
  const auto value = [](int rank) { return static_cast<std::byte>(rank + 1); };
  std::vector<std::byte> bytes(kBytes, value(group.rank()));
  group.broadcast(bytes, 1);
  const std::vector<std::byte> expected(kBytes, value(1));
  // Sanitizers would take seconds for a comparison byte by byte.
  const auto wrong = [&](const std::vector<std::byte>& found) {
    return std::memcmp(found.data(), expected.data(), kBytes) != 0;
  };
  if (wrong(bytes)) fail(ErrorKind::kInternal, "broadcast: wrong bytes");
  std::vector<int64_t> sent(group.size(), 0);
  std::vector<int64_t> received(group.size(), 0);
  const int next = (group.rank() + 1) % group.size();
  const int previous = (group.rank() + group.size() - 1) % group.size();
  sent[next] = kBytes;
  received[previous] = kBytes;
  std::vector<std::byte> taken(kBytes);
  group.all_to_all(bytes, sent, taken, received);
  if (wrong(taken)) fail(ErrorKind::kInternal, "all_to_all: wrong bytes");
}

void run_mode(const Settings& settings, Group& group) {
  if (settings.mode == "echo") return echo(group, settings.group);
  if (settings.mode == "large") return exchange_large(group);
  run_steps(settings, group);
}

int run(const Settings& settings) {
  if (settings.mode == "stop-early" && mpi_rank() == settings.failing_rank) {
    std::fprintf(stderr, "event\n");
    ::raise(SIGSTOP);
  }
  const auto group = make_group(settings.group);
  try {
    run_mode(settings, *group);
    return 0;
  } catch (const Error& error) {
    if (settings.mode != "escape") group->abort(error.what(), exit_code(error.kind()));
    throw;
  }
}

int launch_or_run(std::span<const std::string> arguments) {
  const Settings settings = parse(arguments);
  if (settings.launch.ranks > 1 && !is_launched_rank()) {
    for (int i = 0; i < settings.threads; ++i) std::thread([] { ::pause(); }).detach();
    return launch_ranks(settings.launch, arguments);
  }
  return run(settings);
}

}  // namespace
}  // namespace strake

int main(int count, char** words) {
  try {
    return strake::launch_or_run(std::vector<std::string>(words + 1, words + count));
  } catch (const strake::Error& error) {
    std::fprintf(stderr, "strake: %s\n", error.what());
    return strake::exit_code(error.kind());
  }
}
