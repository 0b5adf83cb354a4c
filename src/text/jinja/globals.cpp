#include "text/jinja/globals.h"

#include <ctime>

#include "text/jinja/access.h"
#include "text/jinja/print.h"
#include "text/jinja/runtime.h"
#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

// dict(mapping or pairs, **named).
Dict make_dict(Runtime& runtime, const Arguments& arguments) {
  Arguments positional{arguments.positional, {}};
  const auto bound = bind("dict", positional, {"mapping"});
  require_defined(bound[0]);
  Dict dict;
  if (bound[0].dict()) {
    dict = *bound[0].dict();
  } else if (!bound[0].is_missing()) {
    for (const Value& pair : to_vector(runtime, bound[0])) {
      const auto parts = to_vector(runtime, pair);
      if (parts.size() != 2) raise("dict(): an element has {} parts, 2 are expected", parts.size());
      dict.set(parts[0], parts[1], runtime.budget);
    }
  }
  for (const auto& [name, value] : arguments.named) dict.set(name, value);
  runtime.budget.allocate(static_cast<int64_t>(dict.entries().size() * sizeof(Dict::Entry)));
  return dict;
}

Value dict(Runtime& runtime, const Arguments& arguments) {
  return Value(std::shared_ptr<const Dict>(std::make_shared<Dict>(make_dict(runtime, arguments))));
}

Value make_namespace(Runtime& runtime, const Arguments& arguments) {
  auto made = runtime.keep(std::make_shared<Namespace>());
  const Dict attributes = make_dict(runtime, arguments);
  for (const auto& [key, value] : attributes.entries())
    if (key.text()) made->set(key.text()->bytes, value);
  return Value(ObjectRef(std::move(made)));
}

Value range(Runtime&, const Arguments& arguments) {
  if (!arguments.named.empty()) raise("range() takes no keyword arguments");
  const auto bound = bind("range", arguments, {"start", "stop", "step"}, 1);
  const bool only_stop = bound[1].is_missing();
  const int64_t start = only_stop ? 0 : integer_argument("range", bound[0]);
  const int64_t stop = integer_argument("range", bound[only_stop ? 0 : 1]);
  const int64_t step = integer_argument("range", bound[2], 1);
  if (step == 0) raise("range() arg 3 must not be zero");
  auto made = std::make_shared<Range>(start, stop, step);
  if (made->size() > kMaxRange)
    raise("Range too big. The sandbox blocks ranges larger than MAX_RANGE ({}).", kMaxRange);
  return Value(ObjectRef(std::move(made)));
}

// Gives its items in turn, for ever.
class Cycler : public Object {
 public:
  explicit Cycler(std::vector<Value> items) : Object(nesting_of(items)), items_(std::move(items)) {}
  std::string type_name() const override { return "Cycler"; }
  std::optional<Value> attribute(Runtime&, std::string_view name) override {
    if (name == "current") return items_[position_];
    if (name == "pos") return Value(static_cast<int64_t>(position_));
    if (name == "items") return Value::tuple(items_);
    const bool next = name == "next";
    if (!next && name != "reset") return std::nullopt;
    const auto self = std::static_pointer_cast<Cycler>(shared_from_this());
    return Value(std::make_shared<Function>(
        std::string(name), depth() + 1, [self, next](Runtime&, const Arguments& arguments) {
          bind("cycler", arguments, {});
          const Value current = self->items_[self->position_];
          self->position_ = next ? (self->position_ + 1) % self->items_.size() : 0;
          return next ? current : Value(None{});
        }));
  }

 private:
  std::vector<Value> items_;
  size_t position_ = 0;
};

Value cycler(Runtime&, const Arguments& arguments) {
  if (arguments.positional.empty()) raise("at least one item has to be provided");
  if (!arguments.named.empty()) raise("cycler() takes no keyword arguments");
  return Value(ObjectRef(std::make_shared<Cycler>(arguments.positional)));
}

// Empty the first time, the separator from then on.
class Joiner : public Object {
 public:
  explicit Joiner(Value separator) : Object(separator.depth()), separator_(std::move(separator)) {}
  std::string type_name() const override { return "Joiner"; }
  std::optional<Value> attribute(Runtime&, std::string_view name) override {
    if (name == "sep") return separator_;
    if (name == "used") return Value(used_);
    return std::nullopt;
  }
  bool callable() const override { return true; }
  Value call(Runtime&, const Arguments& arguments) override {
    bind("joiner", arguments, {});
    return std::exchange(used_, true) ? separator_ : Value("");
  }

 private:
  Value separator_;
  bool used_ = false;
};

Value joiner(Runtime&, const Arguments& arguments) {
  const auto bound = bind("joiner", arguments, {"sep"});
  return Value(ObjectRef(std::make_shared<Joiner>(bound[0].is_missing() ? Value(", ") : bound[0])));
}

Value raise_exception(Runtime&, const Arguments& arguments) {
  throw TemplateException(print_str(bind("raise_exception", arguments, {"message"}, 1)[0]));
}

Value strftime_now(Runtime& runtime, const Arguments& arguments) {
  constexpr size_t kMostBytes = 4096;
  const auto bound = bind("strftime_now", arguments, {"format"}, 1);
  // The space in front tells an empty result from one that does not fit.
  const std::string format = " " + text_argument("strftime_now", bound[0]).bytes;
  if (format.find('\0') != std::string::npos) raise("strftime_now(): embedded null character");
  const std::tm now = runtime.now();
  std::string out(kMostBytes, '\0');
  const size_t size = std::strftime(out.data(), out.size(), format.c_str(), &now);
  if (size == 0) raise("strftime_now(): the result is longer than {} bytes", kMostBytes);
  out.resize(size);
  if (!valid_utf8(out)) raise("strftime_now(): the locale's names are not UTF-8");
  return Value(out.substr(1));
}

Dict make_globals() {
  Dict all;
  const auto add = [&](const char* name, Function::Body body) {
    all.set(name, Value(ObjectRef(std::make_shared<Function>(name, 0, std::move(body)))));
  };
  add("range", range);
  add("dict", dict);
  add("namespace", make_namespace);
  add("cycler", cycler);
  add("joiner", joiner);
  add("raise_exception", raise_exception);
  add("strftime_now", strftime_now);
  return all;
}

}  // namespace

const Dict& globals() {
  static const Dict all = make_globals();
  return all;
}

std::string Namespace::print(int depth) const {
  const auto copy = std::make_shared<Dict>(attributes_);
  return "<Namespace " + print_repr(Value(std::shared_ptr<const Dict>(copy)), depth + 1) + ">";
}

std::optional<Value> Namespace::attribute(Runtime&, std::string_view name) {
  const Value* found = attributes_.find(name);
  return found ? std::optional(*found) : std::nullopt;
}

}  // namespace strake::jinja
