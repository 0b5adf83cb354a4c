// What may stand behind | and behind `is`.
#pragma once

#include <span>
#include <string_view>

#include "text/jinja/arguments.h"
#include "text/jinja/value.h"

namespace strake::jinja {

using FilterFunction = Value (*)(Runtime&, const Value&, const Arguments&);
struct Filter {
  std::string_view name;
  FilterFunction function;
};

// Null for unknown names.
const Filter* find_filter(std::string_view name);
Value apply_filter(Runtime& runtime, const Filter& filter, const Value& value,
                   const Arguments& arguments);

std::span<const Filter> text_filters();
std::span<const Filter> value_filters();
std::span<const Filter> order_filters();
std::span<const Filter> selection_filters();

using TestFunction = bool (*)(Runtime&, const Value&, const Arguments&);
struct Test {
  std::string_view name;
  TestFunction function;
};
const Test* find_test(std::string_view name);

// A path such as "function.name" or "0.role", followed from a value: undefined where it ends.
// Filters take one as their `attribute`.
class AttributePath {
 public:
  explicit AttributePath(const Value& attribute);
  // `fallback` replaces an undefined step, unless it is missing.
  Value follow(Runtime& runtime, Value value, const Value& fallback = Value()) const;

 private:
  std::vector<Value> parts_;
};

enum class Case { kIgnored, kKept };
// A string in lower case where case is ignored; other values as they are.
Value sort_key(const Value& value, Case letters);
// Ascending or descending by key; equal keys keep their order.
struct Keyed {
  Value key, value;
};
enum class Order { kAscending, kDescending };
void sort_keyed(Runtime& runtime, std::vector<Keyed>& items, Order order);

}  // namespace strake::jinja
