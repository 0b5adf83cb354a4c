#include "text/jinja/arguments.h"

#include <algorithm>

#include "text/jinja/access.h"

namespace strake::jinja {

const Value* Arguments::find(std::string_view name) const {
  const auto found = std::ranges::find(
      named, name, [](const auto& entry) { return std::string_view(entry.first); });
  return found == named.end() ? nullptr : &found->second;
}

std::vector<Value> bind(std::string_view function, const Arguments& arguments,
                        std::initializer_list<std::string_view> parameters, size_t required) {
  if (arguments.positional.size() > parameters.size())
    raise("{}() takes at most {} arguments, {} were given", function, parameters.size(),
          arguments.positional.size());
  std::vector<Value> bound(arguments.positional);
  bound.resize(parameters.size());
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::ranges::find(parameters, std::string_view(name));
    if (found == parameters.end())
      raise("{}() got an unexpected keyword argument '{}'", function, name);
    Value& place = bound[static_cast<size_t>(found - parameters.begin())];
    if (!place.is_missing()) raise("{}() got multiple values for argument '{}'", function, name);
    place = value;
  }
  for (size_t i = 0; i < required; ++i)
    if (bound[i].is_missing())
      raise("{}() is missing its argument '{}'", function, parameters.begin()[i]);
  return bound;
}

int64_t integer_argument(std::string_view function, const Value& value) {
  require_defined(value);
  if (const auto number = value.as_integer()) return *number;
  raise("{}(): an integer is expected, not '{}'", function, value.type_name());
}

int64_t integer_argument(std::string_view function, const Value& value, int64_t absent) {
  return value.is_missing() ? absent : integer_argument(function, value);
}

const Text& text_argument(std::string_view function, const Value& value) {
  require_defined(value);
  if (const Text* text = value.text()) return *text;
  raise("{}(): a string is expected, not '{}'", function, value.type_name());
}

}  // namespace strake::jinja
