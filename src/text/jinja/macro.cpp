// The interpreter's macros and call blocks.
#include <algorithm>

#include "text/jinja/interpreter.h"
#include "text/jinja/interpreter_depth.h"
#include "text/jinja/print.h"

namespace strake::jinja {
namespace {

class MacroValue : public Object {
 public:
  MacroValue(Interpreter& interpreter, const MacroBody& macro, ActivationRef outer)
      : Object(1), interpreter_(interpreter), macro_(macro), outer_(std::move(outer)) {}
  std::string type_name() const override { return "Macro"; }
  std::string print(int) const override { return "<Macro " + print_repr(Value(macro_.name)) + ">"; }
  std::optional<Value> attribute(Runtime&, std::string_view name) override {
    if (name == "name") return Value(macro_.name);
    if (name == "catch_kwargs") return Value(macro_.named.has_value());
    if (name == "catch_varargs") return Value(macro_.varargs.has_value());
    if (name == "caller") return Value(macro_.takes_caller);
    if (name != "arguments") return std::nullopt;
    std::vector<Value> names;
    for (const Parameter& parameter : macro_.parameters) names.emplace_back(parameter.name);
    return Value::tuple(std::move(names));
  }
  bool callable() const override { return true; }
  Value call(Runtime&, const Arguments& arguments) override {
    return interpreter_.invoke(macro_, outer_, arguments);
  }

 private:
  Interpreter& interpreter_;
  const MacroBody& macro_;
  ActivationRef outer_;
};

// Removes a keyword argument from those given and returns it; missing when it is not there.
Value take(Arguments& arguments, std::string_view name) {
  const auto found = std::ranges::find(
      arguments.named, name, [](const auto& entry) { return std::string_view(entry.first); });
  if (found == arguments.named.end()) return Value();
  Value value = found->second;
  arguments.named.erase(found);
  return value;
}

class CallCount {
 public:
  explicit CallCount(int& calls) : calls_(++calls) {}
  ~CallCount() { --calls_; }
  CallCount(const CallCount&) = delete;
  CallCount& operator=(const CallCount&) = delete;

 private:
  int& calls_;
};

}  // namespace

Value Interpreter::macro_value(const MacroBody& macro, const ActivationRef& activation) {
  runtime_.keep(activation);
  return Value(ObjectRef(std::make_shared<MacroValue>(*this, macro, activation)));
}

void Interpreter::bind_macro(const MacroBody& macro, Arguments arguments,
                             Activation& activation) const {
  const auto slot = [&](int index) -> Value& {
    return activation.slots[static_cast<size_t>(index)];
  };
  const size_t given = std::min(arguments.positional.size(), macro.parameters.size());
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const Parameter& parameter = macro.parameters[i];
    slot(parameter.slot) = i < given ? arguments.positional[i] : take(arguments, parameter.name);
  }
  if (macro.caller) {
    const Value caller = take(arguments, "caller");
    const bool absent = caller.is_missing() || caller.is_none();
    slot(*macro.caller) = absent ? Value::undefined("No caller defined") : caller;
  }
  if (macro.named) {
    auto rest = std::make_shared<Dict>();
    for (auto& [name, value] : arguments.named) rest->set(name, std::move(value));
    slot(*macro.named) = Value(std::shared_ptr<const Dict>(std::move(rest)));
  } else if (!arguments.named.empty()) {
    raise("macro '{}' takes no keyword argument '{}'", macro.name, arguments.named[0].first);
  }
  if (macro.varargs) {
    const auto rest = arguments.positional.begin() + static_cast<std::ptrdiff_t>(given);
    slot(*macro.varargs) = Value::tuple({rest, arguments.positional.end()});
  } else if (arguments.positional.size() > given) {
    raise("macro '{}' takes not more than {} argument(s)", macro.name, macro.parameters.size());
  }
}

Value Interpreter::invoke(const MacroBody& macro, const ActivationRef& outer,
                          const Arguments& arguments) {
  const Deeper deeper(*this);
  if (calls_ == runtime_.budget.limits().calls)
    raise("macros call each other deeper than {} levels", calls_);
  const CallCount count(calls_);
  const auto activation = std::make_shared<Activation>(outer, macro.slots);
  bind_macro(macro, arguments, *activation);
  enter(macro.scope, *activation);
  for (const Parameter& parameter : macro.parameters) {
    Value& slot = activation->slots[static_cast<size_t>(parameter.slot)];
    if (!slot.is_missing()) continue;
    if (parameter.fallback)
      slot = evaluate(*parameter.fallback, activation);
    else
      slot = Value::undefined(fmt::format("parameter '{}' was not provided", parameter.name));
  }
  TextBuilder out;
  run_body(macro.body, {activation, out});
  return runtime_.made(Value(out.take()));
}

}  // namespace strake::jinja
