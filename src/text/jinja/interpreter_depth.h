// Bounds the interpreter's own recursion.
#pragma once

#include "text/jinja/interpreter.h"

namespace strake::jinja {

// Calls of evaluate() and run_body() within each other: less than 1 MiB of stack.
constexpr int kMaxRecursion = 2000;

class Interpreter::Deeper {
 public:
  explicit Deeper(Interpreter& interpreter) : depth_(interpreter.depth_) {
    if (++depth_ > kMaxRecursion) {
      --depth_;
      raise("the template recurses deeper than {} levels", kMaxRecursion);
    }
  }
  ~Deeper() { --depth_; }
  Deeper(const Deeper&) = delete;
  Deeper& operator=(const Deeper&) = delete;

 private:
  int& depth_;
};

}  // namespace strake::jinja
