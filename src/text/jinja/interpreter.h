// Runs a parsed template.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "text/jinja/parser.h"
#include "text/jinja/runtime.h"

namespace strake::jinja {

// The variables of one run of a function. Macros keep the one that they were defined in.
struct Activation : Clearable {
  Activation(std::shared_ptr<Activation> outer_, int count)
      : outer(std::move(outer_)), slots(static_cast<size_t>(count)) {}
  void clear() override {
    outer = nullptr;
    slots.clear();
  }
  std::shared_ptr<Activation> outer;
  std::vector<Value> slots;
};
using ActivationRef = std::shared_ptr<Activation>;

class Interpreter {
 public:
  Interpreter(Runtime& runtime, const Dict& variables) : runtime_(runtime), variables_(variables) {}

  std::string run(const Program& program);
  // The line of the statement or expression that ran last.
  int line() const { return line_; }

  // A macro's or call block's text for these arguments.
  Value invoke(const MacroBody& macro, const ActivationRef& outer, const Arguments& arguments);

 private:
  enum class Flow { kNext, kBreak, kContinue };
  // Where statements run: their variables and what they write to.
  struct Place {
    const ActivationRef& activation;
    TextBuilder& out;
  };
  class Deeper;
  struct Evaluation;
  struct Execution;

  Flow run_body(const Body& body, const Place& place);
  Flow run_branch(const If& node, const Place& place);
  Flow run_with(const With& node, const Place& place);
  Flow run_assign_block(const AssignBlock& node, const Place& place);
  Flow run_filter_block(const FilterBlock& node, const Place& place);
  void run_call_block(const CallBlock& node, const Place& place);
  void run_for(const For& node, const Place& place);
  Value recurse(const For& node, const ActivationRef& outer, const Value& iterable, int depth);
  void iterate_body(const For& node, const Place& place, const Value& iterable, int depth,
                    const std::function<Value(const Value&, int)>& recurse);

  Value evaluate(const Expression& expression, const ActivationRef& activation);
  Value variable(const Variable& node, const ActivationRef& activation);
  Value conditional(const Conditional& node, const ActivationRef& activation);
  Value compare_chain(const ComparisonChain& node, const ActivationRef& activation);
  Value slice(const SliceAccess& node, const ActivationRef& activation);
  Value concatenate(const Concatenation& node, const ActivationRef& activation);
  Value dict_of(const DictLiteral& node, const ActivationRef& activation);
  Value call_function(const Call& node, const ActivationRef& activation, const Value* caller);
  Value filter(const FilterCall& node, const ActivationRef& activation, const Value& subject);
  bool test(const TestCall& node, const ActivationRef& activation);
  Arguments arguments(const CallArguments& node, const ActivationRef& activation);

  // Applies the filters of a block to its text.
  Value filter_text(const Expression& filters, const ActivationRef& activation, std::string text);
  void enter(const Scope& scope, Activation& activation) const;
  void assign(const Expression& target, Value value, const ActivationRef& activation);
  void require_namespaces(const Expression& target, const Activation& activation) const;
  Value macro_value(const MacroBody& macro, const ActivationRef& activation);
  // Sets the parameters, and the special variables that the body uses.
  void bind_macro(const MacroBody& macro, Arguments arguments, Activation& activation) const;

  Runtime& runtime_;
  const Dict& variables_;
  int line_ = 1;
  int depth_ = 0;
  int calls_ = 0;
};

}  // namespace strake::jinja
