#include "comm/daemon_guard.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace strake {
namespace {

constexpr int kOwnEndMilliseconds = 3'000;

bool is_daemon(pid_t process) {
  std::error_code error;
  const auto program =
      std::filesystem::read_symlink("/proc/" + std::to_string(process) + "/exe", error).filename();
  return program == "orted" || program == "orterun";  // mpirun is a name of orterun
}

// Only calls that are safe after fork.
[[noreturn]] void guard(int process_descriptor) {
  ::setsid();  // the daemon kills the whole process group of its rank
  // The daemon takes a rank for alive as long as someone holds its output.
  ::dup2(process_descriptor, 0);
  ::close_range(1, ~0u, 0);
  pollfd ended{0, POLLIN, 0};
  // SIGTERM would have it wait for the other hosts once more.
  if (::poll(&ended, 1, kOwnEndMilliseconds) == 0)
    ::syscall(SYS_pidfd_send_signal, 0, SIGKILL, nullptr, 0);
  ::_exit(0);
}

}  // namespace

void guard_parent_daemon() noexcept {
  const pid_t parent = ::getppid();
  const auto descriptor = static_cast<int>(::syscall(SYS_pidfd_open, parent, 0));
  if (descriptor < 0) return;
  if (is_daemon(parent) && ::fork() == 0) guard(descriptor);
  ::close(descriptor);
}

}  // namespace strake
