// What may stand behind `is`.
#include <algorithm>
#include <array>

#include "text/jinja/access.h"
#include "text/jinja/compare.h"
#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/runtime.h"
#include "text/jinja/text_parts.h"

namespace strake::jinja {
namespace {

using Predicate = bool (*)(const Value&);

template <Predicate kPredicate>
bool holds(Runtime&, const Value& value, const Arguments& arguments) {
  bind("test", arguments, {});
  return kPredicate(value);
}

bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_boolean(const Value& value) { return value.boolean() != nullptr; }
bool is_true(const Value& value) { return value.boolean() && *value.boolean(); }
bool is_false(const Value& value) { return value.boolean() && !*value.boolean(); }
bool is_integer(const Value& value) { return value.integer() != nullptr; }
bool is_float(const Value& value) { return value.real() != nullptr; }
bool is_number(const Value& value) { return value.is_number(); }
bool is_string(const Value& value) { return value.text() != nullptr; }
bool is_mapping(const Value& value) { return value.dict() != nullptr; }
bool is_upper(const Value& value) { return all_upper(print_str(value)); }
bool is_lower(const Value& value) { return all_lower(print_str(value)); }
bool is_escaped(const Value& value) {
  return value.text() && value.text()->escaping == Escaping::kMarkup;
}
// It has a length and subscripts.
bool is_sequence(const Value& value) {
  return value.text() || value.list() || value.dict() || value.object_as<Range>() ||
         value.is_undefined();
}
bool is_callable(const Value& value) {
  return value.is_undefined() || (value.object() && value.object()->callable());
}
bool is_filter(const Value& value) {
  return value.text() && find_filter(value.text()->bytes) != nullptr;
}
bool is_test(const Value& value) {
  return value.text() && find_test(value.text()->bytes) != nullptr;
}

bool is_iterable(Runtime& runtime, const Value& value, const Arguments& arguments) {
  bind("iterable", arguments, {});
  return try_iterate(runtime, value) != nullptr;
}

bool leaves(Runtime& runtime, const Value& value, int64_t divisor, int64_t remainder) {
  return equal(apply(runtime, Operator::kModulo, value, Value(divisor)), Value(remainder),
               runtime.budget);
}
bool is_odd(Runtime& runtime, const Value& value, const Arguments& arguments) {
  bind("odd", arguments, {});
  return leaves(runtime, value, 2, 1);
}
bool is_even(Runtime& runtime, const Value& value, const Arguments& arguments) {
  bind("even", arguments, {});
  return leaves(runtime, value, 2, 0);
}
bool is_divisible(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const auto bound = bind("divisibleby", arguments, {"num"}, 1);
  return equal(apply(runtime, Operator::kModulo, value, bound[0]), Value(int64_t{0}),
               runtime.budget);
}

bool is_same(Runtime&, const Value& value, const Arguments& arguments) {
  return value.is(bind("sameas", arguments, {"other"}, 1)[0]);
}

template <Comparison kComparison>
bool compares(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return compare(runtime, kComparison, value, bind("test", arguments, {"other"}, 1)[0]);
}

constexpr std::array<Test, 39> kTests{{
    {"defined", holds<is_defined>},
    {"undefined", holds<is_undefined>},
    {"none", holds<is_none>},
    {"boolean", holds<is_boolean>},
    {"true", holds<is_true>},
    {"false", holds<is_false>},
    {"integer", holds<is_integer>},
    {"float", holds<is_float>},
    {"number", holds<is_number>},
    {"string", holds<is_string>},
    {"mapping", holds<is_mapping>},
    {"sequence", holds<is_sequence>},
    {"callable", holds<is_callable>},
    {"upper", holds<is_upper>},
    {"lower", holds<is_lower>},
    {"escaped", holds<is_escaped>},
    {"filter", holds<is_filter>},
    {"test", holds<is_test>},
    {"iterable", is_iterable},
    {"odd", is_odd},
    {"even", is_even},
    {"divisibleby", is_divisible},
    {"sameas", is_same},
    {"in", compares<Comparison::kIn>},
    {"==", compares<Comparison::kEqual>},
    {"eq", compares<Comparison::kEqual>},
    {"equalto", compares<Comparison::kEqual>},
    {"!=", compares<Comparison::kNotEqual>},
    {"ne", compares<Comparison::kNotEqual>},
    {">", compares<Comparison::kGreater>},
    {"gt", compares<Comparison::kGreater>},
    {"greaterthan", compares<Comparison::kGreater>},
    {">=", compares<Comparison::kGreaterEqual>},
    {"ge", compares<Comparison::kGreaterEqual>},
    {"<", compares<Comparison::kLess>},
    {"lt", compares<Comparison::kLess>},
    {"lessthan", compares<Comparison::kLess>},
    {"<=", compares<Comparison::kLessEqual>},
    {"le", compares<Comparison::kLessEqual>},
}};

}  // namespace

const Test* find_test(std::string_view name) {
  const auto found = std::ranges::find(kTests, name, &Test::name);
  return found == kTests.end() ? nullptr : &*found;
}

}  // namespace strake::jinja
