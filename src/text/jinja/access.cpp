#include "text/jinja/access.h"

#include <algorithm>

#include "text/jinja/methods.h"
#include "text/jinja/print.h"
#include "text/jinja/runtime.h"
#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

bool starts_private(std::string_view name) { return name.starts_with('_'); }

bool is_dunder(std::string_view name) {
  return name.size() > 4 && name.starts_with("__") && name.ends_with("__");
}

Value unsafe(const Value& value, std::string_view name) {
  return Value::undefined(
      fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, value.type_name()));
}

std::string described(const Value& value) {
  return value.is_none() ? "None" : value.type_name() + " object";
}

Value no_such(const Value& value, const Value& key) {
  if (const Text* name = key.text())
    return Value::undefined(
        fmt::format("'{}' has no attribute {}", described(value), print_repr(Value(name->bytes))));
  return Value::undefined(fmt::format("{} has no element {}", described(value), print_repr(key)));
}

// Python's index rules: negative ones count from the end; nothing when out of range.
std::optional<size_t> position(int64_t index, size_t size) {
  const auto length = static_cast<int64_t>(size);
  if (index < -length || index >= length) return std::nullopt;
  return static_cast<size_t>(index < 0 ? index + length : index);
}

Value code_point_at(const Text& text, size_t index) {
  if (text.ascii()) return Value(std::string(1, text.bytes[index]), text.escaping);
  size_t at = 0;
  for (size_t i = 0; i < index; ++i) next_code_point(text.bytes, at);
  const size_t begin = at;
  next_code_point(text.bytes, at);
  return Value(text.bytes.substr(begin, at - begin), text.escaping);
}

// The positions that a slice selects, as Python counts them.
struct Selection {
  int64_t start, step, count;
};

std::optional<int64_t> bound(const Value& value) {
  if (value.is_none() || value.is_missing()) return std::nullopt;
  if (const auto index = value.as_integer()) return index;
  raise("slice indices must be integers or None or have an __index__ method");
}

Selection select(const Slice& slice, int64_t length) {
  constexpr int64_t kFar = int64_t{1} << 40;  // farther than any sequence is long
  const int64_t step = std::clamp(bound(slice.step).value_or(1), -kFar, kFar);
  if (step == 0) raise("slice step cannot be zero");
  const int64_t low = step < 0 ? -1 : 0;
  const int64_t high = step < 0 ? length - 1 : length;
  const auto clamp = [&](int64_t index) {
    return std::clamp(index < 0 ? index + length : index, low, high);
  };
  const auto start_bound = bound(slice.start);
  const auto stop_bound = bound(slice.stop);
  const int64_t start = start_bound ? clamp(*start_bound) : (step < 0 ? high : low);
  const int64_t stop = stop_bound ? clamp(*stop_bound) : (step < 0 ? low : high);
  const int64_t span = step < 0 ? start - stop : stop - start;
  const int64_t stride = step < 0 ? -step : step;
  return {start, step, span <= 0 ? 0 : (span - 1) / stride + 1};
}

Value slice_text(const Text& text, const Slice& slice) {
  const Selection selected = select(slice, static_cast<int64_t>(text.length));
  if (text.ascii() && selected.step == 1)
    return Value(
        text.bytes.substr(static_cast<size_t>(selected.start), static_cast<size_t>(selected.count)),
        text.escaping);
  const std::u32string points = decode_utf8(text.bytes);
  std::string out;
  for (int64_t i = 0; i < selected.count; ++i)
    append_utf8(out, points[static_cast<size_t>(selected.start + i * selected.step)]);
  return Value(std::move(out), text.escaping);
}

class StepCursor : public Cursor {
 public:
  explicit StepCursor(Generator::Step step) : step_(std::move(step)) {}
  bool next(Runtime& runtime, Value& out) override {
    runtime.budget.step();
    return step_(runtime, out);
  }

 private:
  Generator::Step step_;
};

}  // namespace

void require_defined(const Value& value) {
  if (const Undefined* undefined = value.undefined()) raise("{}", undefined->message);
}

bool truth(Runtime& runtime, const Value& value) {
  if (const bool* flag = value.boolean()) return *flag;
  if (value.is_none() || value.is_undefined()) return false;
  if (const auto number = value.as_real()) return *number != 0;
  return length_of(runtime, value).value_or(1) != 0;
}

std::optional<int64_t> length_of(Runtime& runtime, const Value& value) {
  if (const Text* text = value.text()) return static_cast<int64_t>(text->length);
  if (const List* list = value.list()) return static_cast<int64_t>(list->items.size());
  if (const Dict* dict = value.dict()) return static_cast<int64_t>(dict->entries().size());
  if (Object* object = value.object()) return object->length(runtime);
  if (value.is_undefined()) return 0;
  return std::nullopt;
}

Value call(Runtime& runtime, const Value& callee, const Arguments& arguments) {
  require_defined(callee);
  if (Object* object = callee.object()) return object->call(runtime, arguments);
  raise("'{}' object is not callable", callee.type_name());
}

std::optional<Value> find_item(Runtime& runtime, const Value& value, const Value& key) {
  require_defined(value);
  if (const Dict* dict = value.dict()) {
    if (key.list() && key.list()->kind == ListKind::kList) return std::nullopt;
    if (key.dict()) return std::nullopt;
    const Value* found = dict->find(key, runtime.budget);
    return found ? std::optional(*found) : std::nullopt;
  }
  const auto index = key.as_integer();
  if (const Text* text = value.text(); text && index) {
    const auto at = position(*index, text->length);
    if (!at) return std::nullopt;
    runtime.budget.step(text->ascii() ? 1 : static_cast<int64_t>(*at / 16));
    return code_point_at(*text, *at);
  }
  if (const List* list = value.list(); list && index) {
    const auto at = position(*index, list->items.size());
    return at ? std::optional(list->items[*at]) : std::nullopt;
  }
  if (Object* object = value.object()) return object->item(runtime, key);
  return std::nullopt;
}

std::optional<Value> find_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  require_defined(value);
  if (is_dunder(name)) return unsafe(value, name);
  if (const List* list = value.list(); list && list->kind == ListKind::kGroup) {
    if (name == "grouper") return list->items[0];
    if (name == "list") return list->items[1];
  }
  if (is_mutating_method(value, name)) return unsafe(value, name);
  if (const Method* method = find_method(value, name)) return bind_method(value, *method);
  if (Object* object = value.object()) {
    auto found = object->attribute(runtime, name);
    if (found && starts_private(name)) return unsafe(value, name);
    return found;
  }
  return std::nullopt;
}

Value get_attribute(Runtime& runtime, const Value& value, std::string_view name) {
  if (auto found = find_attribute(runtime, value, name)) return *std::move(found);
  const Value key{name};
  if (auto found = find_item(runtime, value, key)) return *std::move(found);
  return no_such(value, key);
}

Value get_item(Runtime& runtime, const Value& value, const Value& key) {
  if (auto found = find_item(runtime, value, key)) return *std::move(found);
  if (const Text* name = key.text())
    if (auto found = find_attribute(runtime, value, name->bytes)) return *std::move(found);
  return no_such(value, key);
}

Value get_slice(Runtime& runtime, const Value& value, const Slice& slice) {
  require_defined(value);
  if (const Text* text = value.text()) {
    runtime.budget.step(static_cast<int64_t>(text->bytes.size() / 16));
    return runtime.made(slice_text(*text, slice));
  }
  if (const List* list = value.list()) {
    const Selection selected = select(slice, static_cast<int64_t>(list->items.size()));
    std::vector<Value> items;
    for (int64_t i = 0; i < selected.count; ++i)
      items.push_back(list->items[static_cast<size_t>(selected.start + i * selected.step)]);
    const bool is_list = list->kind == ListKind::kList;
    return runtime.made(
        Value::list(std::move(items), is_list ? ListKind::kList : ListKind::kTuple));
  }
  if (const auto* range = value.object_as<Range>()) {
    const Selection selected = select(slice, range->size());
    return range->part(selected.start, selected.step, selected.count);
  }
  if (value.dict()) raise("unhashable type: 'slice'");
  raise("'{}' object is not subscriptable", value.type_name());
}

CursorRef make_cursor(Generator::Step step) {
  return std::make_shared<StepCursor>(std::move(step));
}

CursorRef try_iterate(Runtime& runtime, const Value& value) {
  if (value.list())
    return make_cursor([value, i = size_t{0}](Runtime&, Value& out) mutable {
      const auto& items = value.list()->items;
      return i < items.size() && (out = items[i++], true);
    });
  if (value.text())
    return make_cursor([value, at = size_t{0}](Runtime&, Value& out) mutable {
      const Text& text = *value.text();
      if (at == text.bytes.size()) return false;
      const size_t begin = at;
      next_code_point(text.bytes, at);
      out = Value(text.bytes.substr(begin, at - begin));
      return true;
    });
  if (value.dict()) return DictView(value.shared_dict(), DictPart::kKeys).iterate(runtime);
  if (Object* object = value.object()) return object->iterate(runtime);
  if (value.is_undefined()) return make_cursor([](Runtime&, Value&) { return false; });
  return nullptr;
}

CursorRef iterate(Runtime& runtime, const Value& value) {
  CursorRef cursor = try_iterate(runtime, value);
  if (!cursor) raise("'{}' object is not iterable", value.type_name());
  return cursor;
}

CursorRef iterate_later(Value value) {
  return make_cursor(
      [value = std::move(value), cursor = CursorRef()](Runtime& runtime, Value& out) mutable {
        if (!cursor) cursor = iterate(runtime, value);
        return cursor->next(runtime, out);
      });
}

std::vector<Value> drain(Runtime& runtime, Cursor& cursor) {
  std::vector<Value> items;
  for (Value item; cursor.next(runtime, item);) {
    items.push_back(item);
    runtime.budget.allocate(sizeof(Value));
  }
  return items;
}

std::vector<Value> to_vector(Runtime& runtime, const Value& value) {
  return drain(runtime, *iterate(runtime, value));
}

std::optional<Value> reversed(Runtime& runtime, const Value& value) {
  const bool view = value.object_as<Range>() || value.object_as<DictView>();
  const bool fits = value.list() || value.text() || value.dict() || value.is_undefined() || view;
  if (!fits) return std::nullopt;
  std::vector<Value> items = to_vector(runtime, value);
  std::ranges::reverse(items);
  const Value source[] = {Value::list(std::move(items))};
  const std::string name = value.list() ? "list_reverseiterator" : "reversed";
  return generate(name, source, [cursor = iterate(runtime, source[0])](Runtime& r, Value& out) {
    return cursor->next(r, out);
  });
}

}  // namespace strake::jinja
