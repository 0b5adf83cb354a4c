#include "text/jinja/loop.h"

#include "text/jinja/access.h"
#include "text/jinja/compare.h"
#include "text/jinja/globals.h"
#include "text/jinja/runtime.h"

namespace strake::jinja {

Loop::Loop(Value iterable, CursorRef cursor, int depth, Recurse recurse)
    : Object(nesting_of({&iterable, 1})),
      iterable_(std::move(iterable)),
      cursor_(std::move(cursor)),
      level_(depth),
      recurse_(std::move(recurse)) {}

bool Loop::advance(Runtime& runtime, Value& out) {
  Value item = std::exchange(after_, Value());
  if (item.is_missing() && !(cursor_ && cursor_->next(runtime, item))) return false;
  ++index_;
  before_ = std::exchange(current_, item);
  out = std::move(item);
  return true;
}

const Value& Loop::peek(Runtime& runtime) {
  if (after_.is_missing() && cursor_) {
    Value item;
    if (cursor_->next(runtime, item)) after_ = std::move(item);
  }
  return after_;
}

std::optional<int64_t> Loop::length(Runtime& runtime) {
  if (length_) return length_;
  if (!iterable_.is_missing()) length_ = length_of(runtime, iterable_);
  if (!length_) {
    const Value rest = Value::list(drain(runtime, *cursor_));
    length_ = static_cast<int64_t>(rest.list()->items.size()) + index_ + 1 +
              (after_.is_missing() ? 0 : 1);
    cursor_ = jinja::iterate(runtime, rest);
  }
  return length_;
}

std::optional<Value> Loop::attribute(Runtime& runtime, std::string_view name) {
  if (name == "index0") return Value(index_);
  if (name == "index") return Value(index_ + 1);
  if (name == "first") return Value(index_ == 0);
  if (name == "last") return Value(peek(runtime).is_missing());
  if (name == "length") return Value(*length(runtime));
  if (name == "revindex") return Value(*length(runtime) - index_);
  if (name == "revindex0") return Value(*length(runtime) - index_ - 1);
  if (name == "depth") return Value(int64_t{level_ + 1});
  if (name == "depth0") return Value(int64_t{level_});
  if (name == "previtem")
    return index_ == 0 ? Value::undefined("there is no previous item") : before_;
  if (name == "nextitem")
    return peek(runtime).is_missing() ? Value::undefined("there is no next item") : after_;
  if (name == "cycle" || name == "changed") return method(name);
  return std::nullopt;
}

Value Loop::method(std::string_view name) {
  const auto self = std::static_pointer_cast<Loop>(shared_from_this());
  const bool cycles = name == "cycle";
  return Value(std::make_shared<Function>(
      std::string(name), depth() + 1, [self, cycles](Runtime& runtime, const Arguments& arguments) {
        return cycles ? self->cycle(arguments) : self->changed(runtime, arguments);
      }));
}

Value Loop::cycle(const Arguments& arguments) const {
  if (arguments.positional.empty()) raise("no items for cycling given");
  if (!arguments.named.empty()) raise("cycle() takes no keyword arguments");
  return arguments.positional[static_cast<size_t>(index_) % arguments.positional.size()];
}

Value Loop::changed(Runtime& runtime, const Arguments& arguments) {
  if (!arguments.named.empty()) raise("changed() takes no keyword arguments");
  Value checked = Value::tuple(arguments.positional);
  if (!last_checked_.is_missing() && equal(last_checked_, checked, runtime.budget))
    return Value(false);
  last_checked_ = std::move(checked);
  return Value(true);
}

// What is left of the loop, each element with the loop itself.
CursorRef Loop::iterate(Runtime&) {
  const auto self = std::static_pointer_cast<Loop>(shared_from_this());
  return make_cursor([self](Runtime& runtime, Value& out) {
    Value item;
    if (!self->advance(runtime, item)) return false;
    out = Value::tuple({item, Value(ObjectRef(self))});
    return true;
  });
}

Value Loop::call(Runtime&, const Arguments& arguments) {
  if (!recurse_) raise("The loop must have the 'recursive' marker to be called recursively.");
  return recurse_(bind("loop", arguments, {"iterable"}, 1)[0], level_ + 1);
}

void Loop::clear() {
  iterable_ = before_ = current_ = after_ = last_checked_ = Value();
  cursor_ = nullptr;
  recurse_ = nullptr;
}

}  // namespace strake::jinja
