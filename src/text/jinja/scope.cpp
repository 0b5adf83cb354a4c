#include "text/jinja/scope.h"

#include "text/jinja/frame.h"

namespace strake::jinja {
namespace {

template <class... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;  // clang 14 deduces no aggregates

enum class Use { kLoad, kStore };

// Calls visit(name, use) for every name below, inner scopes included.
template <class Visit>
void for_each_name(const Body& body, Visit& visit);

template <class Visit>
void for_each_name(const Expression& expression, Use use, Visit& visit) {
  if (const auto* variable = std::get_if<Variable>(&expression.node)) visit(variable->name, use);
  for_each_child(expression, [&](const Expression& child) { for_each_name(child, use, visit); });
}

template <class Visit>
void for_each_name(const Statement& statement, Visit& visit) {
  const auto load = [&](const ExpressionRef& expression) {
    if (expression) for_each_name(*expression, Use::kLoad, visit);
  };
  const auto store = [&](const ExpressionRef& target) {
    for_each_name(*target, Use::kStore, visit);
  };
  const auto macro = [&](const MacroBody& body) {
    for (const Parameter& parameter : body.parameters) load(parameter.fallback);
    for_each_name(body.body, visit);
  };
  std::visit(Overloaded{
                 [&](const Output& node) {
                   for (const auto& part : node.parts) load(part);
                 },
                 [&](const If& node) {
                   for (const auto& [test, body] : node.branches) {
                     load(test);
                     for_each_name(body, visit);
                   }
                   for_each_name(node.otherwise, visit);
                 },
                 [&](const For& node) {
                   store(node.target);
                   load(node.iterable);
                   for_each_name(node.body, visit);
                   for_each_name(node.otherwise, visit);
                   load(node.condition);
                 },
                 [&](const Assign& node) {
                   store(node.target);
                   load(node.value);
                 },
                 [&](const AssignBlock& node) {
                   store(node.target);
                   load(node.filter);
                   for_each_name(node.body, visit);
                 },
                 [&](const Macro& node) { macro(node.body); },
                 [&](const CallBlock& node) {
                   load(node.call);
                   macro(node.caller);
                 },
                 [&](const FilterBlock& node) {
                   load(node.filter);
                   for_each_name(node.body, visit);
                 },
                 [&](const With& node) {
                   for (const auto& target : node.targets) store(target);
                   for (const auto& value : node.values) load(value);
                   for_each_name(node.body, visit);
                 },
                 [](const Break&) {},
                 [](const Continue&) {},
             },
             statement.node);
}

template <class Visit>
void for_each_name(const Body& body, Visit& visit) {
  for (const auto& statement : body) for_each_name(*statement, visit);
}

bool loads(const Body& body, std::string_view name) {
  bool found = false;
  const auto visit = [&](const std::string& other, Use use) {
    found |= use == Use::kLoad && other == name;
  };
  for_each_name(body, visit);
  return found;
}

// First pass over a scope: which names it mentions, in order, without the scopes inside.
class Collector {
 public:
  explicit Collector(Frame& frame) : frame_(frame) {}

  void body(const Body& statements) {
    for (const auto& statement : statements) this->statement(*statement);
  }
  void value(const ExpressionRef& expression) {
    if (expression) value(*expression);
  }
  // Assignments inside the scope, and variables that are set when it is entered.
  void target(const Expression& expression) {
    if (const auto* variable = std::get_if<Variable>(&expression.node))
      frame_.store(variable->name);
    else if (const auto* attribute = std::get_if<NamespaceTarget>(&expression.node))
      frame_.load(attribute->name);
    for_each_child(expression, [&](const Expression& child) { target(child); });
  }
  void parameter(const Expression& expression) {
    if (const auto* variable = std::get_if<Variable>(&expression.node))
      frame_.declare(variable->name);
    for_each_child(expression, [&](const Expression& child) { parameter(child); });
  }

 private:
  void value(const Expression& expression) {
    if (const auto* variable = std::get_if<Variable>(&expression.node)) frame_.load(variable->name);
    for_each_child(expression, [&](const Expression& child) { value(child); });
  }

  void condition(const If& node) {
    const auto& first = node.branches.front();
    value(first.first);
    frame_.branches([&] { body(first.second); },
                    [&] {
                      for (size_t i = 1; i < node.branches.size(); ++i) {
                        value(node.branches[i].first);
                        frame_.branches([&] { body(node.branches[i].second); });
                      }
                    },
                    [&] { body(node.otherwise); });
  }

  void statement(const Statement& statement) {
    std::visit(Overloaded{
                   [&](const Output& node) {
                     for (const auto& part : node.parts) value(part);
                   },
                   [&](const If& node) { condition(node); },
                   [&](const For& node) { value(node.iterable); },
                   [&](const Assign& node) {
                     value(node.value);
                     target(*node.target);
                   },
                   [&](const AssignBlock& node) { target(*node.target); },
                   [&](const Macro& node) { frame_.store(node.body.name); },
                   [&](const CallBlock& node) { value(node.call); },
                   [&](const FilterBlock& node) { value(node.filter); },
                   [&](const With& node) {
                     for (const auto& expression : node.values) value(expression);
                   },
                   [](const Break&) {},
                   [](const Continue&) {},
               },
               statement.node);
  }

  Frame& frame_;
};

// Second pass: writes the places down and opens the scopes inside.
class Resolver {
 public:
  explicit Resolver(std::string_view what) : what_(what) {}

  void body(Body& statements, const Frame& frame) {
    for (auto& statement : statements) this->statement(*statement, frame);
  }

 private:
  void value(const ExpressionRef& expression, const Frame& frame) {
    if (expression) value(*expression, frame);
  }
  void value(Expression& expression, const Frame& frame) {
    if (auto* variable = std::get_if<Variable>(&expression.node))
      variable->place = frame.place(variable->name);
    else if (auto* attribute = std::get_if<NamespaceTarget>(&expression.node))
      attribute->place = frame.place(attribute->name);
    for_each_child(expression, [&](Expression& child) { value(child, frame); });
  }

  void statement(Statement& statement, const Frame& frame) {
    std::visit(Overloaded{
                   [&](Output& node) {
                     for (const auto& part : node.parts) value(part, frame);
                   },
                   [&](If& node) {
                     for (auto& [test, branch] : node.branches) {
                       value(test, frame);
                       body(branch, frame);
                     }
                     body(node.otherwise, frame);
                   },
                   [&](For& node) { loop(node, statement, frame); },
                   [&](Assign& node) {
                     value(node.value, frame);
                     value(node.target, frame);
                   },
                   [&](AssignBlock& node) {
                     value(node.target, frame);
                     node.scope = inner(node.body, node.filter, frame);
                   },
                   [&](Macro& node) {
                     node.place = frame.place(node.body.name);
                     macro(node.body, statement.line, frame);
                   },
                   [&](CallBlock& node) {
                     macro(node.caller, statement.line, frame);
                     value(node.call, frame);
                   },
                   [&](FilterBlock& node) { node.scope = inner(node.body, node.filter, frame); },
                   [&](With& node) { with(node, frame); },
                   [](Break&) {},
                   [](Continue&) {},
               },
               statement.node);
  }

  // A captured block and the filter that is applied to it.
  Scope inner(Body& statements, const ExpressionRef& filter, const Frame& frame) {
    Frame block(&frame, frame.function());
    Collector collector(block);
    collector.body(statements);
    collector.value(filter);
    body(statements, block);
    value(filter, block);
    return block.scope();
  }

  void with(With& node, const Frame& frame) {
    Frame block(&frame, frame.function());
    Collector collector(block);
    for (const auto& target : node.targets) collector.parameter(*target);
    collector.body(node.body);
    for (const auto& expression : node.values) value(expression, frame);
    for (const auto& target : node.targets) value(target, block);
    body(node.body, block);
    node.scope = block.scope();
  }

  void loop(For& node, const Statement& statement, const Frame& frame) {
    const auto refuse = [&](const std::string& name, Use use) {
      if (use == Use::kStore && name == "loop")
        fail(ErrorKind::kCheckpoint,
             "{}, line {}: Can't assign to special loop variable in for-loop target", what_,
             statement.line);
    };
    for_each_name(statement, refuse);
    const bool recursive = node.recursion == Recursion::kRecursive;
    FunctionFrame own{frame.function().depth + 1};
    FunctionFrame& function = recursive ? own : frame.function();
    value(node.iterable, frame);

    Frame block(&frame, function);
    node.uses_loop = recursive || loads(node.body, "loop");
    if (node.uses_loop) node.loop_slot = block.declare("loop");
    Collector collector(block);
    collector.parameter(*node.target);
    collector.body(node.body);
    value(node.target, block);
    body(node.body, block);
    node.body_scope = block.scope();

    if (node.condition) {
      Frame test(&frame, function);
      Collector names(test);
      names.parameter(*node.condition_target);
      names.value(node.condition);
      value(node.condition_target, test);
      value(node.condition, test);
      node.condition_scope = test.scope();
    }
    Frame otherwise(&frame, function);
    Collector(otherwise).body(node.otherwise);
    body(node.otherwise, otherwise);
    node.otherwise_scope = otherwise.scope();
    node.slots = own.slots;
  }

  void macro(MacroBody& macro, int line, const Frame& frame) {
    FunctionFrame function{frame.function().depth + 1};
    Frame block(&frame, function);
    Collector collector(block);
    for (Parameter& parameter : macro.parameters) parameter.slot = block.declare(parameter.name);
    for (Parameter& parameter : macro.parameters) collector.value(parameter.fallback);
    collector.body(macro.body);
    const auto special = [&](const char* name) -> std::optional<int> {
      for (const Parameter& parameter : macro.parameters)
        if (parameter.name == name) return std::nullopt;
      return loads(macro.body, name) ? std::optional(block.declare(name)) : std::nullopt;
    };
    macro.caller = special("caller");
    macro.named = special("kwargs");
    macro.varargs = special("varargs");
    macro.takes_caller = loads(macro.body, "caller");
    for (const Parameter& parameter : macro.parameters)
      if (macro.takes_caller && parameter.name == "caller" && !parameter.fallback)
        fail(ErrorKind::kCheckpoint,
             "{}, line {}: the special \"caller\" argument must be omitted or be given a default",
             what_, line);
    for (const Parameter& parameter : macro.parameters) value(parameter.fallback, block);
    body(macro.body, block);
    macro.scope = block.scope();
    macro.slots = function.slots;
  }

  std::string_view what_;
};

}  // namespace

void resolve_scopes(Program& program, std::string_view what) {
  FunctionFrame function;
  Frame frame(nullptr, function);
  Collector(frame).body(program.body);
  Resolver(what).body(program.body, frame);
  program.scope = frame.scope();
  program.slots = function.slots;
}

}  // namespace strake::jinja
