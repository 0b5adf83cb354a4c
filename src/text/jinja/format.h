// Padding, replacing and the two formatting languages: "{:>8.2f}" and "%8.2f".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/jinja/arguments.h"
#include "text/jinja/value.h"

namespace strake::jinja {

enum class Alignment {
  kLeft,
  kRight,
  kCenter,        // an odd space goes to the right
  kMethodCenter,  // str.center(): an odd space goes to the left when the width is odd
  kAfterSign,     // padding stands between the sign and the digits
};

// `width` in code points; `fill` is one code point.
std::string align(std::string_view text, int64_t width, std::string_view fill, Alignment alignment);

// The first `most` occurrences, all when negative. An empty `old` stands between all code points.
std::string replace_text(std::string_view text, std::string_view old, std::string_view with,
                         int64_t most);

// What both languages can say about one value.
struct FormatSpec {
  std::string fill = " ";
  Alignment alignment = Alignment::kRight;
  char sign = '-';       // '-', '+' or ' '
  char grouping = '\0';  // ',' or '_'
  char type = '\0';      // nothing: the type's own form
  bool alternate = false;
  int64_t width = 0;
  int precision = -1;  // nothing
};

std::string format_integer(int64_t number, const FormatSpec& spec);
std::string format_real(double number, const FormatSpec& spec);
std::string format_text(std::string_view text, const FormatSpec& spec);

// str.format().
std::string format_braces(Runtime& runtime, const Text& pattern, const Arguments& arguments);
// pattern % argument.
std::string format_percent(Runtime& runtime, const Text& pattern, const Value& argument);

// Reads digits; throws when they exceed any useful width.
int64_t read_count(std::string_view text, size_t& at);

}  // namespace strake::jinja
