// From source to a parsed template, with every variable's place resolved.
#pragma once

#include <string_view>

#include "text/jinja/ast.h"

namespace strake::jinja {

struct Program {
  Body body;
  Scope scope;
  int slots = 0;
};

// Throws Error(kCheckpoint) with `what` and the line on syntax errors, Error(kUnsupported) for
// template inheritance and inclusion.
Program parse_program(std::string_view source, std::string_view what);

}  // namespace strake::jinja
