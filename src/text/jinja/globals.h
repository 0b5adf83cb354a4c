// The functions that every template can call, and the objects that they make.
#pragma once

#include <functional>

#include "text/jinja/arguments.h"
#include "text/jinja/value.h"

namespace strake::jinja {

// range, dict, namespace, cycler, joiner, raise_exception and strftime_now.
const Dict& globals();

class Function : public Object {
 public:
  using Body = std::function<Value(Runtime&, const Arguments&)>;
  // `depth` is that of the values that the body holds.
  Function(std::string name, int depth, Body body)
      : Object(depth), name_(std::move(name)), body_(std::move(body)) {}
  std::string type_name() const override { return "function"; }
  std::string print(int) const override { return "<function " + name_ + ">"; }
  bool callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override {
    return body_(runtime, arguments);
  }

 private:
  std::string name_;
  Body body_;
};

// The one thing whose attributes a template can set.
class Namespace : public Object, public Clearable {
 public:
  Namespace() : Object(1) {}
  std::string type_name() const override { return "Namespace"; }
  std::string print(int depth) const override;
  std::optional<Value> attribute(Runtime&, std::string_view name) override;
  void set(std::string_view name, Value value) { attributes_.set(name, std::move(value)); }
  void clear() override { attributes_.clear(); }

 private:
  Dict attributes_;
};

}  // namespace strake::jinja
