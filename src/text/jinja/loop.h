// The variable `loop` inside a for block.
#pragma once

#include <functional>

#include "text/jinja/arguments.h"
#include "text/jinja/value.h"

namespace strake::jinja {

class Loop : public Object, public Clearable {
 public:
  // Renders the block again for other elements, one level deeper.
  using Recurse = std::function<Value(const Value& iterable, int depth)>;

  // `iterable` gives the length where it has one; otherwise the cursor is read to its end.
  Loop(Value iterable, CursorRef cursor, int depth, Recurse recurse);

  // The next element, with which the properties change; false at the end.
  bool advance(Runtime& runtime, Value& out);

  std::string type_name() const override { return "LoopContext"; }
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override;
  std::optional<int64_t> length(Runtime& runtime) override;
  CursorRef iterate(Runtime&) override;
  bool callable() const override { return true; }
  Value call(Runtime&, const Arguments& arguments) override;
  void clear() override;

 private:
  const Value& peek(Runtime& runtime);
  Value method(std::string_view name);
  Value cycle(const Arguments& arguments) const;
  Value changed(Runtime& runtime, const Arguments& arguments);

  Value iterable_;
  CursorRef cursor_;
  int level_;
  Recurse recurse_;
  int64_t index_ = -1;
  std::optional<int64_t> length_;
  Value before_, current_, after_, last_checked_;  // missing where there is none
};

}  // namespace strake::jinja
