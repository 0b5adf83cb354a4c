#include "launch.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "base/fail.h"
#include "comm/communicators.h"
#include "mpirun_messages.h"
#include "process_tree.h"

namespace strake {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long mpirun may take to end a run that has failed or was told to end. It waits for ever for
// a host that a cut link keeps silent.
constexpr milliseconds kEndLimit{3'000};

// Names the standard streams of the launcher that are terminals: "02".
constexpr const char* kTerminals = "STRAKE_TERMINALS";

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  int get() const { return value_; }
  void close() {
    if (value_ >= 0) ::close(value_);
    value_ = -1;
  }

 private:
  int value_;
};

std::vector<std::string> mpirun_command(const LaunchOptions& options,
                                        std::span<const std::string> arguments) {
  const std::string mpirun = find_program(std::array<std::string, 2>{"mpirun.openmpi", "mpirun"});
  if (mpirun.empty())
    fail(ErrorKind::kSystem,
         "--ranks {}: mpirun is not in PATH: install Open MPI (Debian's package openmpi-bin)",
         options.ranks);
  std::vector<std::string> command{mpirun, "-n", std::to_string(options.ranks), "--bind-to",
                                   "none"};
  const auto set = [&](const char* parameter, const char* value) {
    command.insert(command.end(), {"--mca", parameter, value});
  };
  command.insert(command.end(), {"-x", kTerminals});
  set("odls_base_sigkill_timeout", "0");  // a failed run's other ranks have nothing to save
  set("btl_vader_eager_limit", "16384");  // copies up to here are faster than the kernel's
  if (options.hostfile.empty()) {
    // One machine needs neither ssh nor a network.
    command.push_back("--oversubscribe");
    set("plm", "isolated");
    set("oob_tcp_if_include", "lo");
    set("btl", "vader,self");
  } else {
    command.insert(command.end(), {"--hostfile", options.hostfile});
    if (!options.launch_agent.empty()) set("plm_rsh_agent", options.launch_agent.c_str());
    // A host that is cut off is noticed in about ten seconds, not in ten minutes.
    set("oob_tcp_keepalive_time", "5");
    set("oob_tcp_keepalive_intvl", "1");
    set("oob_tcp_keepalive_probes", "5");
  }
  command.insert(command.end(), options.mpirun_args.begin(), options.mpirun_args.end());
  command.push_back(std::filesystem::read_symlink("/proc/self/exe"));
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

// Watches mpirun from its start to its end.
class Supervisor {
 public:
  Supervisor(std::span<const std::string> command, int output);
  // The exit code of the run.
  int run();

 private:
  int milliseconds_left() const;
  void take_signals();
  void take_messages();
  void end_soon() {
    if (!end_) end_ = Clock::now() + kEndLimit;
  }
  void say(const std::string& text) { std::fputs(text.c_str(), stderr); }

  MpirunMessages messages_;
  std::optional<Descriptor> signals_;
  std::optional<Descriptor> errors_;  // reads mpirun's stderr
  int mpirun_ = 0;
  // Readable when mpirun has ended: another thread of this process may be given SIGCHLD.
  std::optional<Descriptor> ended_;
  std::optional<int> status_;             // mpirun's, as waitpid gives it
  int signal_ = 0;                        // told the launcher to end
  std::optional<Clock::time_point> end_;  // when mpirun is no longer waited for
};

Supervisor::Supervisor(std::span<const std::string> command, int output) {
  sigset_t watched;
  ::sigemptyset(&watched);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&watched, signal);
  if (::sigprocmask(SIG_BLOCK, &watched, nullptr) != 0) fail_errno("sigprocmask");
  signals_.emplace(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (signals_->get() < 0) fail_errno("signalfd");
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail_errno("pipe2");
  errors_.emplace(ends[0]);
  const Descriptor write_end(ends[1]);
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  adopt_orphans();
  mpirun_ = start_process(command, output, write_end.get());
  ended_.emplace(static_cast<int>(::syscall(SYS_pidfd_open, mpirun_, 0)));
  if (ended_->get() < 0) fail_errno("pidfd_open");
}

int Supervisor::milliseconds_left() const {
  if (!end_) return -1;
  return static_cast<int>(
      std::max<int64_t>(0, std::chrono::ceil<milliseconds>(*end_ - Clock::now()).count()));
}

int Supervisor::run() {
  while (!status_ && milliseconds_left() != 0) {
    std::array<pollfd, 3> ready{pollfd{signals_->get(), POLLIN, 0},
                                pollfd{ended_->get(), POLLIN, 0},
                                pollfd{errors_->get(), POLLIN, 0}};
    ::poll(ready.data(), errors_->get() < 0 ? 2 : 3, milliseconds_left());
    take_messages();
    take_signals();
  }
  kill_descendants(kEndLimit);
  take_messages();
  say(messages_.finish());
  if (signal_ != 0) return 128 + signal_;
  if (status_ && WIFEXITED(*status_) && WEXITSTATUS(*status_) == 0 && !messages_.failed()) return 0;
  const int code = status_ && WIFEXITED(*status_) ? WEXITSTATUS(*status_) : 0;
  if (status_ && WIFSIGNALED(*status_)) {
    say(fmt::format("strake: mpirun died: killed by signal {}\n", WTERMSIG(*status_)));
  } else {
    say(messages_.explanation(code));
  }
  return messages_.exit_code(code);
}

void Supervisor::take_signals() {
  signalfd_siginfo info;
  while (::read(signals_->get(), &info, sizeof(info)) == sizeof(info)) {
    signal_ = static_cast<int>(info.ssi_signo);
    ::kill(mpirun_, SIGTERM);
    end_soon();
  }
  int status = 0;
  if (::waitpid(mpirun_, &status, WNOHANG) == mpirun_) status_ = status;
}

void Supervisor::take_messages() {
  std::array<char, 4096> bytes;
  ssize_t count = 0;
  while ((count = ::read(errors_->get(), bytes.data(), bytes.size())) > 0)
    say(messages_.take({bytes.data(), static_cast<size_t>(count)}));
  if (count == 0) errors_->close();
  if (messages_.failed()) end_soon();
}

}  // namespace

bool is_launched_rank() { return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr; }

bool is_terminal(int descriptor) {
  const char* terminals = std::getenv(kTerminals);
  if (!is_launched_rank() || terminals == nullptr) return ::isatty(descriptor) == 1;
  return std::string_view(terminals).find(std::to_string(descriptor)) != std::string_view::npos;
}

int launch_ranks(const LaunchOptions& options, std::span<const std::string> arguments) {
  if (std::ranges::none_of(communicators(), [](const auto& known) { return known.name == "mpi"; }))
    fail(ErrorKind::kUnsupported, "--ranks {}: this build has no MPI: 1 expected", options.ranks);
  const auto command = mpirun_command(options, arguments);
  // Containers run as root; mpirun asks twice.
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  std::string terminals;
  const std::array<int, 3> streams{STDIN_FILENO, options.output, STDERR_FILENO};
  for (size_t i = 0; i < streams.size(); ++i)
    if (::isatty(streams[i]) == 1) terminals += std::to_string(i);
  ::setenv(kTerminals, terminals.c_str(), 1);
  return Supervisor(command, options.output).run();
}

}  // namespace strake
