// Filters on single values and on numbers.
#include <array>
#include <cmath>

#include "text/jinja/access.h"
#include "text/jinja/filters.h"
#include "text/jinja/json_text.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operators.h"
#include "text/jinja/runtime.h"

namespace strake::jinja {
namespace {

bool flag(Runtime& runtime, const Value& option) {
  return !option.is_missing() && truth(runtime, option);
}

Value otherwise(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const auto bound = bind("default", arguments, {"default_value", "boolean"});
  const bool replaced = value.is_undefined() || (flag(runtime, bound[1]) && !truth(runtime, value));
  if (!replaced) return value;
  return bound[0].is_missing() ? Value("") : bound[0];
}

Value length(Runtime& runtime, const Value& value, const Arguments& arguments) {
  bind("length", arguments, {});
  const auto size = length_of(runtime, value);
  if (!size) raise("object of type '{}' has no len()", value.type_name());
  return Value(*size);
}

Value to_integer(Runtime&, const Value& value, const Arguments& arguments) {
  const auto bound = bind("int", arguments, {"default", "base"});
  require_defined(value);
  const Value fallback = bound[0].is_missing() ? Value(int64_t{0}) : bound[0];
  if (const auto number = value.as_integer()) return Value(*number);
  if (const double* number = value.real())
    return std::isnan(*number) ? fallback : Value(truncate_real(*number));
  const Text* text = value.text();
  if (!text) return fallback;
  if (const auto number = parse_integer(text->bytes, integer_argument("int", bound[1], 10)))
    return Value(*number);
  const auto number = parse_real(text->bytes);
  return number && std::isfinite(*number) ? Value(truncate_real(*number)) : fallback;
}

Value to_real(Runtime&, const Value& value, const Arguments& arguments) {
  const auto bound = bind("float", arguments, {"default"});
  require_defined(value);
  std::optional<double> number = value.as_real();
  if (const Text* text = value.text()) number = parse_real(text->bytes);
  if (number) return Value(*number);
  return bound[0].is_missing() ? Value(0.0) : bound[0];
}

Value absolute(Runtime&, const Value& value, const Arguments& arguments) {
  bind("abs", arguments, {});
  require_defined(value);
  if (const auto number = value.as_integer()) return *number < 0 ? negated(value) : Value(*number);
  if (const double* number = value.real()) return Value(std::abs(*number));
  raise("bad operand type for abs(): '{}'", value.type_name());
}

Value rounded(Runtime&, const Value& value, const Arguments& arguments) {
  const auto bound = bind("round", arguments, {"precision", "method"});
  require_defined(value);
  const int64_t precision = integer_argument("round", bound[0], 0);
  const std::string method =
      bound[1].is_missing() ? "common" : text_argument("round", bound[1]).bytes;
  const auto number = value.as_real();
  if (!number) raise("round: a number is expected, not '{}'", value.type_name());
  if (method == "common") {
    if (const auto integer = value.as_integer()) return Value(round_integer(*integer, precision));
    return Value(round_real(*number, precision));
  }
  if (method != "ceil" && method != "floor") raise("method must be common, ceil or floor");
  const double unit = std::pow(10.0, static_cast<double>(precision));
  const double scaled = *number * unit;
  if (!std::isfinite(scaled)) raise("cannot convert float {} to integer", scaled);
  // As an integer, which has no negative zero.
  const double whole = (method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) + 0.0;
  return Value(whole / unit);
}

std::string separator(const Value& separators, size_t index) {
  const List* list = separators.list();
  if (!list || list->items.size() != 2) raise("tojson: two separators are expected");
  return text_argument("tojson", list->items[index]).bytes;
}

Value to_json(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const auto bound =
      bind("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  if (flag(runtime, bound[0])) style.alphabet = Alphabet::kAscii;
  if (flag(runtime, bound[3])) style.order = KeyOrder::kSorted;
  if (!bound[1].is_missing() && !bound[1].is_none()) {
    TextBuilder spaces;
    if (const Text* text = bound[1].text())
      spaces.append(text->bytes);
    else
      spaces.repeat(" ", integer_argument("tojson", bound[1]));
    style.indent = spaces.take();
    style.item_separator = std::string(1, ',');
  }
  if (!bound[2].is_missing() && !bound[2].is_none()) {
    style.item_separator = separator(bound[2], 0);
    style.key_separator = separator(bound[2], 1);
  }
  return Value(print_json(value, style, runtime.budget));
}

Value items(Runtime&, const Value& value, const Arguments& arguments) {
  bind("items", arguments, {});
  const bool fits = value.is_undefined() || value.dict();
  const Value pairs = value.dict()
                          ? Value(std::make_shared<DictView>(value.shared_dict(), DictPart::kItems))
                          : Value::list({});
  return generate("generator", {&pairs, 1},
                  [fits, cursor = iterate_later(pairs)](Runtime& runtime, Value& out) {
                    if (!fits) raise("Can only get item pairs from a mapping.");
                    return cursor->next(runtime, out);
                  });
}

Value attribute(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const auto bound = bind("attr", arguments, {"name"}, 1);
  const std::string& name = text_argument("attr", bound[0]).bytes;
  if (auto found = find_attribute(runtime, value, name)) return *std::move(found);
  return Value::undefined(
      fmt::format("'{} object' has no attribute '{}'", value.type_name(), name));
}

constexpr std::array<Filter, 11> kFilters{{
    {"default", otherwise},
    {"d", otherwise},
    {"length", length},
    {"count", length},
    {"int", to_integer},
    {"float", to_real},
    {"abs", absolute},
    {"round", rounded},
    {"tojson", to_json},
    {"items", items},
    {"attr", attribute},
}};

}  // namespace

std::span<const Filter> value_filters() { return kFilters; }

}  // namespace strake::jinja
