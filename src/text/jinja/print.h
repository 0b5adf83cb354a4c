// Values as text, the way Python's str() and repr() write them.
#pragma once

#include <string>

#include "text/jinja/value.h"

namespace strake::jinja {

std::string print_str(const Value& value);
// `depth` counts the containers around it; throws past kMaxDepth.
std::string print_repr(const Value& value, int depth = 0);
// The shortest digits that read back as the same number: 1.0, 1e-05, 1e+16, inf, nan.
std::string print_float(double number);
// & < > ' " as HTML entities.
std::string escape_html(std::string_view text);

}  // namespace strake::jinja
