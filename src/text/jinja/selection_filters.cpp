// Filters that choose, map and join the elements of a sequence.
#include <array>

#include "text/jinja/access.h"
#include "text/jinja/filters.h"
#include "text/jinja/print.h"
#include "text/jinja/runtime.h"
#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

Value first(Runtime& runtime, const Value& value, const Arguments& arguments) {
  bind("first", arguments, {});
  Value item;
  if (iterate(runtime, value)->next(runtime, item)) return item;
  return Value::undefined("No first item, sequence was empty.");
}

Value reverse_of(Runtime& runtime, const Value& value) {
  auto backwards = reversed(runtime, value);
  if (!backwards) raise("'{}' object is not reversible", value.type_name());
  return *std::move(backwards);
}

Value last(Runtime& runtime, const Value& value, const Arguments& arguments) {
  bind("last", arguments, {});
  if (const List* list = value.list(); list && !list->items.empty()) return list->items.back();
  Value item;
  if (iterate(runtime, reverse_of(runtime, value))->next(runtime, item)) return item;
  return Value::undefined("No last item, sequence was empty.");
}

Value reverse(Runtime& runtime, const Value& value, const Arguments& arguments) {
  bind("reverse", arguments, {});
  if (value.text()) return get_slice(runtime, value, {None{}, None{}, Value(int64_t{-1})});
  if (auto backwards = reversed(runtime, value)) return *std::move(backwards);
  return get_slice(runtime, Value::list(to_vector(runtime, value)),
                   {None{}, None{}, Value(int64_t{-1})});
}

Value list(Runtime& runtime, const Value& value, const Arguments& arguments) {
  bind("list", arguments, {});
  return Value::list(to_vector(runtime, value));
}

Value join(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const auto bound = bind("join", arguments, {"d", "attribute"});
  const std::string separator = bound[0].is_missing() ? "" : print_str(bound[0]);
  const AttributePath path(bound[1]);
  const CursorRef cursor = iterate(runtime, value);
  TextBuilder out;
  bool rest = false;
  for (Value item; cursor->next(runtime, item); rest = true) {
    if (rest) out.append(separator);
    out.append(print_str(path.follow(runtime, item)));
  }
  return Value(out.take());
}

// The elements of a true value; none of a false one, whatever its type.
CursorRef elements(const Value& value) {
  return make_cursor([value, cursor = CursorRef()](Runtime& runtime, Value& out) mutable {
    if (!cursor) cursor = iterate(runtime, truth(runtime, value) ? value : Value::list({}));
    return cursor->next(runtime, out);
  });
}

std::vector<Value> sources_of(const Value& value, const Arguments& arguments) {
  std::vector<Value> sources = arguments.positional;
  sources.push_back(value);
  for (const auto& [name, item] : arguments.named) sources.push_back(item);
  return sources;
}

// Drops the arguments that name what to apply to each element.
Arguments remaining(const Arguments& arguments, size_t used) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(used));
  return rest;
}

Value map(Runtime&, const Value& value, const Arguments& arguments) {
  const auto sources = sources_of(value, arguments);
  if (arguments.positional.empty()) {
    const auto bound = bind("map", arguments, {"attribute", "default"}, 1);
    return generate("generator", sources,
                    [path = AttributePath(bound[0]), fallback = bound[1], cursor = elements(value)](
                        Runtime& r, Value& out) {
                      if (!cursor->next(r, out)) return false;
                      out = path.follow(r, out, fallback);
                      return true;
                    });
  }
  const std::string& name = text_argument("map", arguments.positional[0]).bytes;
  return generate("generator", sources,
                  [name, filter = find_filter(name), rest = remaining(arguments, 1),
                   cursor = elements(value)](Runtime& r, Value& out) {
                    if (!cursor->next(r, out)) return false;
                    if (!filter) raise("No filter named '{}'.", name);
                    out = apply_filter(r, *filter, out, rest);
                    return true;
                  });
}

enum class Choice { kSelect, kReject };
enum class Subject { kElement, kAttribute };

template <Choice kChoice, Subject kSubject>
Value choose(Runtime&, const Value& value, const Arguments& arguments) {
  constexpr size_t kPaths = kSubject == Subject::kAttribute ? 1 : 0;
  if (arguments.positional.size() < kPaths) raise("Missing parameter for attribute name");
  AttributePath path(kPaths == 0 ? Value() : arguments.positional[0]);
  std::optional<std::string> name;
  if (arguments.positional.size() > kPaths)
    name = text_argument("select", arguments.positional[kPaths]).bytes;
  return generate("generator", sources_of(value, arguments),
                  [path = std::move(path), name, test = name ? find_test(*name) : nullptr,
                   cursor = elements(value),
                   rest = remaining(arguments, kPaths + (name ? 1 : 0))](Runtime& r, Value& out) {
                    while (cursor->next(r, out)) {
                      if (name && !test) raise("No test named '{}'.", *name);
                      const Value subject = path.follow(r, out);
                      const bool passes =
                          test ? test->function(r, subject, rest) : truth(r, subject);
                      if (passes == (kChoice == Choice::kSelect)) return true;
                    }
                    return false;
                  });
}

constexpr std::array<Filter, 10> kFilters{{
    {"first", first},
    {"last", last},
    {"reverse", reverse},
    {"list", list},
    {"join", join},
    {"map", map},
    {"select", choose<Choice::kSelect, Subject::kElement>},
    {"reject", choose<Choice::kReject, Subject::kElement>},
    {"selectattr", choose<Choice::kSelect, Subject::kAttribute>},
    {"rejectattr", choose<Choice::kReject, Subject::kAttribute>},
}};

}  // namespace

std::span<const Filter> selection_filters() { return kFilters; }

}  // namespace strake::jinja
