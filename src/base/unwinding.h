// Telling apart the two ways in which an object goes.
#pragma once

#include <exception>

namespace strake {

// A member of what must not wait, once something has failed, for what may never come.
class Unwinding {
 public:
  // Whether the object goes because of an exception that is younger than itself.
  explicit operator bool() const { return std::uncaught_exceptions() > before_; }

 private:
  int before_ = std::uncaught_exceptions();
};

}  // namespace strake
