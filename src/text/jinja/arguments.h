// The arguments of a call, and how they meet the parameters of what is called.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace strake::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  const Value* find(std::string_view name) const;
};

// One value a parameter, missing where none was given. Throws for too many arguments, unknown or
// repeated names, and when one of the first `required` parameters is absent.
std::vector<Value> bind(std::string_view function, const Arguments& arguments,
                        std::initializer_list<std::string_view> parameters, size_t required = 0);

// The bound argument as a C++ type; an absent one gives the default. They throw for other types.
int64_t integer_argument(std::string_view function, const Value& value);
int64_t integer_argument(std::string_view function, const Value& value, int64_t absent);
const Text& text_argument(std::string_view function, const Value& value);

}  // namespace strake::jinja
