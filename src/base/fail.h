// Throwing an Error with a formatted message.
#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "strake/base/error.h"

namespace strake {

template <class... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

// For a system call that has just set errno: "<what>: <strerror>".
template <class... Args>
[[noreturn]] void fail_errno(fmt::format_string<Args...> format, Args&&... args) {
  const int error = errno;
  throw Error(ErrorKind::kSystem,
              fmt::format(format, std::forward<Args>(args)...) + ": " + std::strerror(error));
}

}  // namespace strake
