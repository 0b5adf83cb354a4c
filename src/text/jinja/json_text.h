// JSON in and out: variables come from Json values, and `tojson` writes what json.dumps does.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "text/jinja/value.h"

namespace strake::jinja {

Value from_json(const Json& json, int depth = 0);

enum class Alphabet { kUnicode, kAscii };
enum class KeyOrder { kInserted, kSorted };

struct JsonStyle {
  Alphabet alphabet = Alphabet::kUnicode;
  KeyOrder order = KeyOrder::kInserted;
  std::optional<std::string> indent;  // nothing: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

// Throws for values that JSON has no form for.
std::string print_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace strake::jinja
