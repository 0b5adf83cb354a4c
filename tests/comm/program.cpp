#include "program.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

namespace strake {
namespace {

std::string next_mark() {
  static int count = 0;
  return "mark-" + std::to_string(::getpid()) + "-" + std::to_string(++count) + "-";
}

void become(std::vector<std::string> arguments) {
  std::vector<char*> words;
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  ::execvp(words[0], words.data());
  ::_exit(127);
}

}  // namespace

Program::Program(const std::vector<std::string>& arguments, Terminal terminal,
                 const std::string& mark_option)
    : mark_(next_mark()) {
  std::vector<std::string> marked = arguments;
  marked.insert(marked.end(), {mark_option, mark_});
  if (terminal == Terminal::kPseudo) {
    id_ = ::forkpty(&reading_, nullptr, nullptr, nullptr);
    if (id_ == 0) become(marked);
    input_ = ::dup(reading_);
    return;
  }
  int in[2];
  int out[2];
  if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0)
    throw std::runtime_error("pipe2 failed");
  id_ = ::fork();
  if (id_ == 0) {
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(out[1], STDERR_FILENO);
    become(marked);
  }
  ::close(in[0]);
  ::close(out[1]);
  input_ = in[1];
  reading_ = out[0];
}

Program::~Program() {
  for (const int process : processes()) ::kill(process, SIGKILL);
  if (!ended_) {
    ::kill(id_, SIGKILL);
    ::waitpid(id_, nullptr, 0);
  }
  ::close(input_);
  ::close(reading_);
}

void Program::write(const std::string& text) {
  if (::write(input_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw std::runtime_error("the program does not take its input");
}

void Program::send_signal(int signal) { ::kill(id_, signal); }

// False at the end of the output and of the time.
bool Program::read_some(Clock::time_point end) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
  pollfd ready{reading_, POLLIN, 0};
  if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) <= 0) return false;
  std::array<char, 4096> bytes;
  const ssize_t count = ::read(reading_, bytes.data(), bytes.size());
  if (count > 0) output_.append(bytes.data(), count);
  return count > 0;
}

bool Program::wait_for(const std::string& text, std::chrono::seconds limit) {
  const auto end = Clock::now() + limit;
  while (output_.find(text) == output_.npos)
    if (!read_some(end)) return false;
  return true;
}

bool Program::wait_for_end(std::chrono::seconds limit) {
  const auto end = Clock::now() + limit;
  while (read_some(end)) continue;
  while (Clock::now() < end) {
    int status = 0;
    if (!ended_ && ::waitpid(id_, &status, WNOHANG) == id_) {
      ended_ = true;
      code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    if (ended_ && processes().empty()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

std::vector<int> Program::processes() const {
  std::vector<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != name.npos) continue;
    std::ifstream file(entry.path() / "cmdline");
    const std::string command{std::istreambuf_iterator<char>(file), {}};
    if (command.find(mark_) != command.npos) found.push_back(std::stoi(name));
  }
  return found;
}

}  // namespace strake
