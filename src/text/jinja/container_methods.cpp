#include <algorithm>
#include <array>
#include <cmath>

#include "text/jinja/access.h"
#include "text/jinja/compare.h"
#include "text/jinja/methods.h"
#include "text/jinja/runtime.h"

namespace strake::jinja {
namespace {

class BoundMethod : public Object {
 public:
  BoundMethod(const Value& self, const Method& method)
      : Object(nesting_of({&self, 1})), self_(self), method_(method) {}
  std::string type_name() const override { return "builtin_function_or_method"; }
  std::string print(int) const override {
    return fmt::format("<built-in method {} of {} object>", method_.name, self_.type_name());
  }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override {
    if (const Text* text = self_.text())
      runtime.budget.step(static_cast<int64_t>(text->bytes.size() / 16));
    return runtime.made(method_.function(runtime, self_, arguments));
  }

 private:
  Value self_;
  const Method& method_;
};

Value view(std::string_view name, const Value& self, const Arguments& arguments, DictPart part) {
  bind(name, arguments, {});
  return Value(std::make_shared<DictView>(self.shared_dict(), part));
}

Value dict_keys(Runtime&, const Value& self, const Arguments& arguments) {
  return view("keys", self, arguments, DictPart::kKeys);
}
Value dict_values(Runtime&, const Value& self, const Arguments& arguments) {
  return view("values", self, arguments, DictPart::kValues);
}
Value dict_items(Runtime&, const Value& self, const Arguments& arguments) {
  return view("items", self, arguments, DictPart::kItems);
}
Value dict_get(Runtime& runtime, const Value& self, const Arguments& arguments) {
  if (!arguments.named.empty()) raise("get() takes no keyword arguments");
  const auto bound = bind("get", arguments, {"key", "default"}, 1);
  if (const Value* found = self.dict()->find(bound[0], runtime.budget)) return *found;
  return bound[1].is_missing() ? Value(None{}) : bound[1];
}
Value same(Runtime&, const Value& self, const Arguments& arguments) {
  bind("copy", arguments, {});
  return self;
}

Value list_count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("count", arguments, {"value"}, 1);
  return Value(
      static_cast<int64_t>(std::ranges::count_if(self.list()->items, [&](const Value& item) {
        return item.is(bound[0]) || equal(item, bound[0], runtime.budget);
      })));
}
Value list_index(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("index", arguments, {"value", "start", "stop"}, 1);
  const auto& items = self.list()->items;
  const auto size = static_cast<int64_t>(items.size());
  const auto clamp = [&](int64_t at) {
    return std::clamp(at < 0 ? at + size : at, int64_t{0}, size);
  };
  const int64_t stop = clamp(integer_argument("index", bound[2], size));
  for (int64_t i = clamp(integer_argument("index", bound[1], 0)); i < stop; ++i) {
    const Value& item = items[static_cast<size_t>(i)];
    if (item.is(bound[0]) || equal(item, bound[0], runtime.budget)) return Value(i);
  }
  raise("index(): the value is not in the list");
}

Value is_integer(Runtime&, const Value& self, const Arguments& arguments) {
  bind("is_integer", arguments, {});
  return Value(std::isfinite(*self.real()) && std::trunc(*self.real()) == *self.real());
}

constexpr std::array<Method, 5> kDictMethods{{{"keys", dict_keys},
                                              {"values", dict_values},
                                              {"items", dict_items},
                                              {"get", dict_get},
                                              {"copy", same}}};
constexpr std::array<Method, 3> kListMethods{
    {{"count", list_count}, {"index", list_index}, {"copy", same}}};
constexpr std::array<Method, 1> kRealMethods{{{"is_integer", is_integer}}};

constexpr std::array<std::string_view, 8> kListMutators{"append", "clear", "pop",    "reverse",
                                                        "insert", "sort",  "extend", "remove"};
constexpr std::array<std::string_view, 5> kDictMutators{"clear", "pop", "popitem", "setdefault",
                                                        "update"};

bool is_list(const Value& value) { return value.list() && value.list()->kind == ListKind::kList; }

const Method* find_in(std::span<const Method> methods, std::string_view name) {
  const auto found = std::ranges::find(methods, name, &Method::name);
  return found == methods.end() ? nullptr : &*found;
}

}  // namespace

const Method* find_method(const Value& value, std::string_view name) {
  if (value.text()) {
    const Method* found = find_in(text_search_methods(), name);
    return found ? found : find_in(text_making_methods(), name);
  }
  if (value.dict()) return find_in(kDictMethods, name);
  if (is_list(value)) return find_in(kListMethods, name);
  if (value.list()) return find_in(std::span(kListMethods).first(2), name);  // tuples do not copy
  if (value.real()) return find_in(kRealMethods, name);
  return nullptr;
}

bool is_mutating_method(const Value& value, std::string_view name) {
  if (is_list(value)) return std::ranges::find(kListMutators, name) != kListMutators.end();
  if (value.dict()) return std::ranges::find(kDictMutators, name) != kDictMutators.end();
  return false;
}

Value bind_method(const Value& self, const Method& method) {
  return Value(std::make_shared<BoundMethod>(self, method));
}

}  // namespace strake::jinja
