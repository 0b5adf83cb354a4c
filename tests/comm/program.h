// A program under test: its output as it comes, its end, and what it leaves behind.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace strake {

enum class Terminal { kNone, kPseudo };

class Program {
 public:
  using Clock = std::chrono::steady_clock;

  // Starts `arguments[0]`; standard output and error are read together. A mark among the
  // arguments, the value of `mark_option`, finds what it leaves behind.
  explicit Program(const std::vector<std::string>& arguments, Terminal terminal = Terminal::kNone,
                   const std::string& mark_option = "--mark");
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program();

  int id() const { return id_; }
  void write(const std::string& text);
  void send_signal(int signal);

  // Reads until the output contains `text`; false when the program ends, or `limit` passes, first.
  bool wait_for(const std::string& text, std::chrono::seconds limit);

  // Waits for the end of the program and of all processes with its mark; false after `limit`.
  bool wait_for_end(std::chrono::seconds limit);

  // The exit code, 128 + signal for a signal. Valid after the end.
  int code() const { return code_; }
  const std::string& output() const { return output_; }
  // Processes of the run, itself included.
  std::vector<int> processes() const;

 private:
  bool read_some(Clock::time_point end);

  std::string mark_;
  int id_ = 0;
  int input_ = -1;
  int reading_ = -1;
  bool ended_ = false;
  int code_ = -1;
  std::string output_;
};

}  // namespace strake
