// Methods of strings, lists, tuples, dicts and numbers.
#pragma once

#include <span>
#include <string_view>

#include "text/jinja/arguments.h"
#include "text/jinja/value.h"

namespace strake::jinja {

using MethodFunction = Value (*)(Runtime&, const Value& self, const Arguments&);

struct Method {
  std::string_view name;
  MethodFunction function;
};

// Null when the value's type has no such method.
const Method* find_method(const Value& value, std::string_view name);
// Methods that would change a list or dict, which templates may not.
bool is_mutating_method(const Value& value, std::string_view name);
Value bind_method(const Value& self, const Method& method);

// Those that find, split and test text, and those that make new text of it.
std::span<const Method> text_search_methods();
std::span<const Method> text_making_methods();

}  // namespace strake::jinja
