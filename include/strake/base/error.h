// The one exception type of the library.
#pragma once

#include <stdexcept>
#include <string>

namespace strake {

// What went wrong, by who can mend it. Each kind has an exit code of the command line.
enum class ErrorKind {
  kUsage,          // an argument or option that cannot be honoured
  kCheckpoint,     // a file whose content is damaged or contradicts itself
  kUnsupported,    // well-formed, but nothing here implements it
  kCommunication,  // a rank died, fell silent or diverged
  kSystem,         // the operating system refused: no such file, disk full, out of memory
  kInternal,       // a broken invariant: a bug of this library
};

// Exit codes: internal 1, usage 2, checkpoint 3, unsupported 4, communication 5, system 6.
int exit_code(ErrorKind kind) noexcept;
const char* to_string(ErrorKind kind) noexcept;

// The message names the tensor or field, what was expected and what was found.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace strake
