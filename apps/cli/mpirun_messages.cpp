#include "mpirun_messages.h"

#include <charconv>
#include <sstream>
#include <utility>

#include "base/fail.h"

namespace strake {
namespace {

constexpr std::string_view kError = "strake: ";
constexpr std::string_view kAbort = "strake: rank ";

// mpirun puts its messages between lines of dashes.
constexpr size_t kRuleLength = 74;

// mpirun's exit code is this plus the signal that killed a rank; its own errors are above 190.
constexpr int kSignalled = 128;
constexpr int kLastSignal = 31;

bool is_rule(std::string_view line) {
  return line.size() == kRuleLength && line.find_first_not_of('-') == line.npos;
}

// "[host:123] ..." is Open MPI's log.
bool is_log(std::string_view line) {
  const size_t end = line.find("] ");
  return line.starts_with('[') && end != line.npos && line.rfind(':', end) != line.npos;
}

bool may_become_rule_or_log(std::string_view line) {
  if (line.starts_with('-')) return line.find_first_not_of('-') == line.npos;
  return line.starts_with('[') && line.find(' ') >= line.find(']');
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

// The number after `label`, wherever mpirun broke the lines; nothing when it is not there.
std::optional<int> number_after(std::string_view text, std::string_view label) {
  const size_t at = text.find(label);
  if (at == text.npos) return std::nullopt;
  int number = 0;
  const char* begin = text.data() + at + label.size();
  if (std::from_chars(begin, text.data() + text.size(), number).ec != std::errc{})
    return std::nullopt;
  return number;
}

std::string on_one_line(const std::string& text) {
  std::istringstream words(text);
  std::string line;
  for (std::string word; words >> word;) line += (line.empty() ? "" : " ") + word;
  return line;
}

}  // namespace

std::string MpirunMessages::take(std::string_view bytes) {
  std::string passed;
  for (const char byte : bytes) {
    if (byte == '\n' || byte == '\r') {
      end_line(byte, passed);
    } else {
      line_ += byte;
    }
  }
  if (message_.empty() && !may_become_rule_or_log(line_)) {
    passed += line_.substr(line_passed_);
    line_passed_ = line_.size();
  }
  return passed;
}

void MpirunMessages::end_line(char terminator, std::string& passed) {
  const std::string line = std::exchange(line_, {});
  const size_t line_passed = std::exchange(line_passed_, 0);
  if (line_passed == 0 && (is_rule(line) || !message_.empty())) {
    const bool ends = is_rule(line) && !message_.empty();
    message_ += line + '\n';
    if (ends) end_message(passed);
  } else if (line_passed == 0 && is_log(line)) {
    log_ += line + '\n';
  } else {
    explained_ |= line.starts_with(kError);
    aborted_ |= line.starts_with(kAbort) && contains(line, " of ");
    passed += line.substr(line_passed) + terminator;
  }
}

void MpirunMessages::end_message(std::string& passed) {
  const std::string message = std::exchange(message_, {});
  const std::string text = on_one_line(message);
  // These only repeat what another message, or the rank itself, says better.
  if (contains(text, "MPI_ABORT was invoked") || contains(text, "Primary job terminated")) return;
  auto failure = recognize(text);
  if (!failure) {
    passed += message;
  } else if (!failure_) {
    failure_ = std::move(failure);
  }
}

std::optional<MpirunMessages::Failure> MpirunMessages::recognize(const std::string& text) {
  const auto rank = number_after(text, "process rank ");
  if (const auto signal = number_after(text, "exited on signal "); rank && signal)
    return Failure{fmt::format("rank {} died: killed by signal {}", *rank, *signal), true};
  if (rank && contains(text, "exiting improperly"))
    return Failure{fmt::format("rank {} died: it ended before the run did", *rank), true};
  // "Process name: [[job, family],rank] Exit code: 4"
  if (const size_t name = text.find("Process name: [["); name != text.npos) {
    const auto failed_rank = number_after(std::string_view(text).substr(name), "],");
    const auto code = number_after(text, "Exit code: ");
    if (failed_rank && code)
      return Failure{fmt::format("rank {} ended with exit code {}", *failed_rank, *code), false};
  }
  if (contains(text, "lost communication with a remote daemon"))
    return Failure{"the connection to another host is lost: " + text, true};
  return std::nullopt;
}

std::string MpirunMessages::finish() {
  return std::exchange(message_, {}) + std::exchange(line_, {}).substr(line_passed_);
}

std::string MpirunMessages::explanation(int mpirun_code) const {
  if (aborted_) return {};
  if (failure_ && (failure_->lost || !explained_))
    return fmt::format("{}{}\n", kError, failure_->line);
  if (explained_) return {};
  // mpirun has no message about a rank that dies while it starts.
  if (const int signal = mpirun_code - kSignalled; signal > 0 && signal <= kLastSignal)
    return fmt::format("{}{}a rank died: killed by signal {}\n", log_, kError, signal);
  return fmt::format("{}{}mpirun ended with exit code {}\n", log_, kError, mpirun_code);
}

int MpirunMessages::exit_code(int mpirun_code) const {
  const bool own = mpirun_code >= 1 && mpirun_code <= strake::exit_code(ErrorKind::kSystem);
  const bool lost = failure_ && failure_->lost && !aborted_;
  return own && !lost ? mpirun_code : strake::exit_code(ErrorKind::kCommunication);
}

}  // namespace strake
