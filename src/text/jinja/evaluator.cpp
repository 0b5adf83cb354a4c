// The interpreter's expressions.
#include "text/jinja/access.h"
#include "text/jinja/globals.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/interpreter_depth.h"
#include "text/jinja/print.h"

namespace strake::jinja {

// One alternative each, so that a deep expression costs little stack.
struct Interpreter::Evaluation {
  Interpreter& self;
  const ActivationRef& activation;

  Value at(const ExpressionRef& expression) const { return self.evaluate(*expression, activation); }

  Value operator()(const Constant& node) const { return node.value; }
  Value operator()(const Variable& node) const { return self.variable(node, activation); }
  Value operator()(const NamespaceTarget& node) const {
    raise("'{}.{}' is no value", node.name, node.attribute);
  }
  Value operator()(const ListLiteral& node) const {
    std::vector<Value> items;
    for (const auto& item : node.items) items.push_back(at(item));
    return self.runtime_.made(Value::list(std::move(items), node.kind));
  }
  Value operator()(const DictLiteral& node) const { return self.dict_of(node, activation); }
  Value operator()(const Unary& node) const {
    const Value operand = at(node.operand);
    switch (node.operation) {
      case UnaryOperator::kNot:
        return Value(!truth(self.runtime_, operand));
      case UnaryOperator::kNegate:
        return negated(operand);
      case UnaryOperator::kPlus:
        return as_number(operand);
    }
    return operand;
  }
  Value operator()(const Binary& node) const {
    const Value left = at(node.left);
    return apply(self.runtime_, node.operation, left, at(node.right));
  }
  Value operator()(const Logical& node) const {
    Value left = at(node.left);
    const bool decided = truth(self.runtime_, left) == (node.operation == LogicalOperator::kOr);
    return decided ? left : at(node.right);
  }
  Value operator()(const Concatenation& node) const { return self.concatenate(node, activation); }
  Value operator()(const ComparisonChain& node) const {
    return self.compare_chain(node, activation);
  }
  Value operator()(const Conditional& node) const { return self.conditional(node, activation); }
  Value operator()(const AttributeAccess& node) const {
    return get_attribute(self.runtime_, at(node.object), node.name);
  }
  Value operator()(const Subscript& node) const {
    const Value object = at(node.object);
    return get_item(self.runtime_, object, at(node.key));
  }
  Value operator()(const SliceAccess& node) const { return self.slice(node, activation); }
  Value operator()(const Call& node) const { return self.call_function(node, activation, nullptr); }
  Value operator()(const FilterCall& node) const {
    return self.filter(node, activation, at(node.subject));
  }
  Value operator()(const TestCall& node) const { return Value(self.test(node, activation)); }
};

Value Interpreter::evaluate(const Expression& expression, const ActivationRef& activation) {
  const Deeper deeper(*this);
  runtime_.budget.step();
  line_ = expression.line;
  return std::visit(Evaluation{*this, activation}, expression.node);
}

Value Interpreter::variable(const Variable& node, const ActivationRef& activation) {
  const Activation* owner = activation.get();
  for (int i = 0; i < node.place.hops; ++i) owner = owner->outer.get();
  const Value& value = owner->slots[static_cast<size_t>(node.place.slot)];
  if (value.is_missing()) return Value::undefined(fmt::format("'{}' is undefined", node.name));
  return value;
}

Value Interpreter::conditional(const Conditional& node, const ActivationRef& activation) {
  if (truth(runtime_, evaluate(*node.test, activation))) return evaluate(*node.yes, activation);
  if (node.no) return evaluate(*node.no, activation);
  return Value::undefined(
      "the inline if-expression evaluated to false and no else section was defined.");
}

Value Interpreter::compare_chain(const ComparisonChain& node, const ActivationRef& activation) {
  Value left = evaluate(*node.first, activation);
  for (const auto& [comparison, operand] : node.rest) {
    Value right = evaluate(*operand, activation);
    if (!compare(runtime_, comparison, left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::slice(const SliceAccess& node, const ActivationRef& activation) {
  const Value object = evaluate(*node.object, activation);
  const auto bound = [&](const ExpressionRef& expression) {
    return expression ? evaluate(*expression, activation) : Value(None{});
  };
  Slice bounds;
  bounds.start = bound(node.start);
  bounds.stop = bound(node.stop);
  bounds.step = bound(node.step);
  return get_slice(runtime_, object, bounds);
}

Value Interpreter::concatenate(const Concatenation& node, const ActivationRef& activation) {
  TextBuilder out;
  for (const auto& part : node.parts) out.append(print_str(evaluate(*part, activation)));
  return runtime_.made(Value(out.take()));
}

Value Interpreter::dict_of(const DictLiteral& node, const ActivationRef& activation) {
  auto dict = std::make_shared<Dict>();
  for (const auto& [key_node, value_node] : node.entries) {
    Value key = evaluate(*key_node, activation);
    dict->set(std::move(key), evaluate(*value_node, activation), runtime_.budget);
  }
  runtime_.budget.allocate(static_cast<int64_t>(node.entries.size() * sizeof(Dict::Entry)));
  return Value(std::shared_ptr<const Dict>(std::move(dict)));
}

Value Interpreter::call_function(const Call& node, const ActivationRef& activation,
                                 const Value* caller) {
  const Value callee = evaluate(*node.callee, activation);
  Arguments given = arguments(node.arguments, activation);
  if (caller) given.named.emplace_back("caller", *caller);
  return call(runtime_, callee, given);
}

Value Interpreter::filter(const FilterCall& node, const ActivationRef& activation,
                          const Value& subject) {
  if (!node.filter) raise("No filter named '{}'.", node.name);
  return apply_filter(runtime_, *node.filter, subject, arguments(node.arguments, activation));
}

bool Interpreter::test(const TestCall& node, const ActivationRef& activation) {
  if (!node.test) raise("No test named '{}'.", node.name);
  const Value subject = evaluate(*node.subject, activation);
  return node.test->function(runtime_, subject, arguments(node.arguments, activation));
}

Arguments Interpreter::arguments(const CallArguments& node, const ActivationRef& activation) {
  Arguments result;
  for (const auto& argument : node.positional)
    result.positional.push_back(evaluate(*argument, activation));
  for (const auto& [name, argument] : node.named)
    result.named.emplace_back(name, evaluate(*argument, activation));
  if (node.list) {
    std::vector<Value> more = to_vector(runtime_, evaluate(*node.list, activation));
    result.positional.insert(result.positional.end(), more.begin(), more.end());
  }
  if (!node.dict) return result;
  const Value more = evaluate(*node.dict, activation);
  if (!more.dict()) raise("argument after ** must be a mapping, not {}", more.type_name());
  for (const auto& [key, value] : more.dict()->entries()) {
    if (!key.text()) raise("keywords must be strings");
    if (result.find(key.text()->bytes))
      raise("got multiple values for keyword argument '{}'", key.text()->bytes);
    result.named.emplace_back(key.text()->bytes, value);
  }
  return result;
}

// The filters nest: the innermost has no subject of its own.
Value Interpreter::filter_text(const Expression& filters, const ActivationRef& activation,
                               std::string text) {
  const Deeper deeper(*this);
  const auto& node = std::get<FilterCall>(filters.node);
  const Value subject = node.subject ? filter_text(*node.subject, activation, std::move(text))
                                     : runtime_.made(Value(std::move(text)));
  return filter(node, activation, subject);
}

}  // namespace strake::jinja
