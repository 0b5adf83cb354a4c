#include "text/jinja/interpreter.h"

#include <algorithm>

#include "text/jinja/access.h"
#include "text/jinja/globals.h"
#include "text/jinja/interpreter_depth.h"
#include "text/jinja/loop.h"
#include "text/jinja/print.h"

namespace strake::jinja {

struct Interpreter::Execution {
  Interpreter& self;
  const Place& place;

  Flow operator()(const Output& node) const {
    for (const auto& part : node.parts)
      place.out.append(print_str(self.evaluate(*part, place.activation)));
    return Flow::kNext;
  }
  Flow operator()(const If& node) const { return self.run_branch(node, place); }
  Flow operator()(const For& node) const {
    self.run_for(node, place);
    return Flow::kNext;
  }
  Flow operator()(const Assign& node) const {
    self.require_namespaces(*node.target, *place.activation);
    self.assign(*node.target, self.evaluate(*node.value, place.activation), place.activation);
    return Flow::kNext;
  }
  Flow operator()(const AssignBlock& node) const { return self.run_assign_block(node, place); }
  Flow operator()(const Macro& node) const {
    place.activation->slots[static_cast<size_t>(node.place.slot)] =
        self.macro_value(node.body, place.activation);
    return Flow::kNext;
  }
  Flow operator()(const CallBlock& node) const {
    self.run_call_block(node, place);
    return Flow::kNext;
  }
  Flow operator()(const FilterBlock& node) const { return self.run_filter_block(node, place); }
  Flow operator()(const With& node) const { return self.run_with(node, place); }
  Flow operator()(const Break&) const { return Flow::kBreak; }
  Flow operator()(const Continue&) const { return Flow::kContinue; }
};

namespace {

// Empties the slot of `loop` when its block ends. A loop that was stored elsewhere lives on, and
// is emptied with everything else.
class LoopGuard {
 public:
  LoopGuard(Runtime& runtime, Value& slot) : runtime_(runtime), slot_(slot) {}
  ~LoopGuard() {
    const auto loop = std::dynamic_pointer_cast<Loop>(slot_.shared_object());
    slot_ = Value();
    if (loop.use_count() > 1) runtime_.keep(loop);
  }
  LoopGuard(const LoopGuard&) = delete;
  LoopGuard& operator=(const LoopGuard&) = delete;

 private:
  Runtime& runtime_;
  Value& slot_;
};

}  // namespace

std::string Interpreter::run(const Program& program) {
  const auto activation = runtime_.keep(std::make_shared<Activation>(nullptr, program.slots));
  enter(program.scope, *activation);
  TextBuilder out;
  run_body(program.body, {activation, out});
  return out.take();
}

Interpreter::Flow Interpreter::run_body(const Body& body, const Place& place) {
  const Deeper deeper(*this);
  for (const auto& statement : body) {
    runtime_.budget.step();
    line_ = statement->line;
    const Flow flow = std::visit(Execution{*this, place}, statement->node);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run_branch(const If& node, const Place& place) {
  for (const auto& [test, body] : node.branches)
    if (truth(runtime_, evaluate(*test, place.activation))) return run_body(body, place);
  return run_body(node.otherwise, place);
}

Interpreter::Flow Interpreter::run_with(const With& node, const Place& place) {
  enter(node.scope, *place.activation);
  for (size_t i = 0; i < node.targets.size(); ++i)
    assign(*node.targets[i], evaluate(*node.values[i], place.activation), place.activation);
  return run_body(node.body, place);
}

Interpreter::Flow Interpreter::run_assign_block(const AssignBlock& node, const Place& place) {
  enter(node.scope, *place.activation);
  TextBuilder text;
  const Flow flow = run_body(node.body, {place.activation, text});
  if (flow != Flow::kNext) return flow;
  require_namespaces(*node.target, *place.activation);
  Value value = node.filter ? filter_text(*node.filter, place.activation, text.take())
                            : runtime_.made(Value(text.take()));
  assign(*node.target, std::move(value), place.activation);
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run_filter_block(const FilterBlock& node, const Place& place) {
  enter(node.scope, *place.activation);
  TextBuilder text;
  const Flow flow = run_body(node.body, {place.activation, text});
  if (flow != Flow::kNext) return flow;
  place.out.append(print_str(filter_text(*node.filter, place.activation, text.take())));
  return Flow::kNext;
}

void Interpreter::run_call_block(const CallBlock& node, const Place& place) {
  const Value caller = macro_value(node.caller, place.activation);
  const auto& call = std::get<Call>(node.call->node);
  place.out.append(print_str(call_function(call, place.activation, &caller)));
}

void Interpreter::run_for(const For& node, const Place& place) {
  const Value iterable = evaluate(*node.iterable, place.activation);
  if (node.recursion == Recursion::kNone) {
    iterate_body(node, place, iterable, 0, nullptr);
  } else {
    place.out.append(print_str(recurse(node, place.activation, iterable, 0)));
  }
}

Value Interpreter::recurse(const For& node, const ActivationRef& outer, const Value& iterable,
                           int depth) {
  const auto activation = std::make_shared<Activation>(outer, node.slots);
  TextBuilder out;
  iterate_body(node, {activation, out}, iterable, depth,
               [this, &node, outer](const Value& inner, int level) {
                 return recurse(node, outer, inner, level);
               });
  return runtime_.made(Value(out.take()));
}

void Interpreter::iterate_body(const For& node, const Place& place, const Value& iterable,
                               int depth, const std::function<Value(const Value&, int)>& recurse) {
  const Deeper deeper(*this);
  const ActivationRef& activation = place.activation;
  CursorRef cursor = jinja::iterate(runtime_, iterable);
  if (node.condition) {
    enter(node.condition_scope, *activation);
    cursor = make_cursor([this, &node, activation, cursor](Runtime& runtime, Value& out) {
      while (cursor->next(runtime, out)) {
        assign(*node.condition_target, out, activation);
        if (truth(runtime, evaluate(*node.condition, activation))) return true;
      }
      return false;
    });
  }
  Loop* loop = nullptr;
  std::optional<LoopGuard> guard;
  if (node.uses_loop) {
    auto made = std::make_shared<Loop>(node.condition ? Value() : iterable, cursor, depth, recurse);
    loop = made.get();
    Value& slot = activation->slots[static_cast<size_t>(node.loop_slot)];
    slot = Value(ObjectRef(std::move(made)));
    guard.emplace(runtime_, slot);
  }
  bool completed = false;
  Value item;
  while (loop ? loop->advance(runtime_, item) : cursor->next(runtime_, item)) {
    enter(node.body_scope, *activation);
    assign(*node.target, item, activation);
    const Flow flow = run_body(node.body, place);
    if (flow == Flow::kBreak) break;
    completed |= flow == Flow::kNext;
  }
  // As in Jinja, a loop whose every round was cut short counts as one without elements.
  if (completed) return;
  enter(node.otherwise_scope, *activation);
  run_body(node.otherwise, place);
}

void Interpreter::enter(const Scope& scope, Activation& activation) const {
  for (const Load& load : scope.loads) {
    Value& slot = activation.slots[static_cast<size_t>(load.slot)];
    switch (load.kind) {
      case Load::Kind::kUnset:
        slot = Value();
        break;
      case Load::Kind::kAlias: {
        const Activation* owner = &activation;
        for (int i = 0; i < load.source.hops; ++i) owner = owner->outer.get();
        slot = owner->slots[static_cast<size_t>(load.source.slot)];
        break;
      }
      case Load::Kind::kResolve: {
        const Value* found = variables_.find(load.name);
        if (!found) found = globals().find(load.name);
        slot = found ? *found : Value();
        break;
      }
    }
  }
}

void Interpreter::assign(const Expression& target, Value value, const ActivationRef& activation) {
  if (const auto* variable = std::get_if<Variable>(&target.node)) {
    activation->slots[static_cast<size_t>(variable->place.slot)] = std::move(value);
  } else if (const auto* attribute = std::get_if<NamespaceTarget>(&target.node)) {
    Activation* owner = activation.get();
    for (int i = 0; i < attribute->place.hops; ++i) owner = owner->outer.get();
    auto* space = owner->slots[static_cast<size_t>(attribute->place.slot)].object_as<Namespace>();
    if (!space) raise("cannot assign attribute on non-namespace object");
    space->set(attribute->attribute, std::move(value));
  } else {
    const auto& items = std::get<ListLiteral>(target.node).items;
    std::vector<Value> parts = to_vector(runtime_, value);
    if (parts.size() != items.size())
      raise("cannot unpack {} values, {} are expected", parts.size(), items.size());
    for (size_t i = 0; i < items.size(); ++i) assign(*items[i], std::move(parts[i]), activation);
  }
}

void Interpreter::require_namespaces(const Expression& target, const Activation& activation) const {
  if (const auto* attribute = std::get_if<NamespaceTarget>(&target.node)) {
    const Activation* owner = &activation;
    for (int i = 0; i < attribute->place.hops; ++i) owner = owner->outer.get();
    if (!owner->slots[static_cast<size_t>(attribute->place.slot)].object_as<Namespace>())
      raise("cannot assign attribute on non-namespace object");
  }
  for_each_child(target, [&](const Expression& child) { require_namespaces(child, activation); });
}

}  // namespace strake::jinja
