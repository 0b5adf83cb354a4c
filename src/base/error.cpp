#include "strake/base/error.h"

namespace strake {

int exit_code(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::kInternal:
      return 1;
    case ErrorKind::kUsage:
      return 2;
    case ErrorKind::kCheckpoint:
      return 3;
    case ErrorKind::kUnsupported:
      return 4;
    case ErrorKind::kCommunication:
      return 5;
    case ErrorKind::kSystem:
      return 6;
  }
  return 1;
}

const char* to_string(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::kUsage:
      return "usage";
    case ErrorKind::kCheckpoint:
      return "checkpoint";
    case ErrorKind::kUnsupported:
      return "unsupported";
    case ErrorKind::kCommunication:
      return "communication";
    case ErrorKind::kSystem:
      return "system";
    case ErrorKind::kInternal:
      return "internal";
  }
  return "internal";
}

}  // namespace strake
