// A parsed template. Scopes and places are filled in by scope.cpp.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/compare.h"
#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/value.h"

namespace strake::jinja {

struct Expression;
using ExpressionRef = std::unique_ptr<Expression>;
using Expressions = std::vector<ExpressionRef>;

// Where a variable lives: a slot of the function that many functions further out.
struct Place {
  int hops = 0;
  int slot = 0;
};

struct Constant {
  Value value;
};
struct Variable {
  std::string name;
  Place place;
};
// name.attribute as the target of an assignment.
struct NamespaceTarget {
  std::string name;
  std::string attribute;
  Place place;
};
struct ListLiteral {
  ListKind kind;
  Expressions items;
};
struct DictLiteral {
  std::vector<std::pair<ExpressionRef, ExpressionRef>> entries;
};
enum class UnaryOperator { kNot, kNegate, kPlus };
struct Unary {
  UnaryOperator operation;
  ExpressionRef operand;
};
struct Binary {
  Operator operation;
  ExpressionRef left, right;
};
enum class LogicalOperator { kAnd, kOr };
struct Logical {
  LogicalOperator operation;
  ExpressionRef left, right;
};
struct Concatenation {
  Expressions parts;
};
struct ComparisonChain {
  ExpressionRef first;
  std::vector<std::pair<Comparison, ExpressionRef>> rest;
};
struct Conditional {
  ExpressionRef test, yes, no;  // `no` may be absent
};
struct AttributeAccess {
  ExpressionRef object;
  std::string name;
};
struct Subscript {
  ExpressionRef object, key;
};
struct SliceAccess {
  ExpressionRef object, start, stop, step;  // the bounds may be absent
};
struct CallArguments {
  Expressions positional;
  std::vector<std::pair<std::string, ExpressionRef>> named;
  ExpressionRef list, dict;  // *list and **dict, or absent
};
struct Call {
  ExpressionRef callee;
  CallArguments arguments;
};
struct FilterCall {
  ExpressionRef subject;  // absent: the text of the block around it
  std::string name;
  const Filter* filter;  // null for an unknown one
  CallArguments arguments;
};
struct TestCall {
  ExpressionRef subject;
  std::string name;
  const Test* test;
  CallArguments arguments;
};

using ExpressionNode =
    std::variant<Constant, Variable, NamespaceTarget, ListLiteral, DictLiteral, Unary, Binary,
                 Logical, Concatenation, ComparisonChain, Conditional, AttributeAccess, Subscript,
                 SliceAccess, Call, FilterCall, TestCall>;

struct Expression {
  int line;
  int height;  // of the tree, so that recursion over it is bounded
  ExpressionNode node;
};

struct Statement;
using Body = std::vector<std::unique_ptr<Statement>>;

// What happens to a scope's variables when it is entered.
struct Load {
  enum class Kind { kResolve, kAlias, kUnset };
  Kind kind;
  int slot;
  Place source;      // of an alias
  std::string name;  // to resolve among the template's variables
};
struct Scope {
  std::vector<Load> loads;
};

struct Output {
  Expressions parts;
};
struct If {
  std::vector<std::pair<ExpressionRef, Body>> branches;
  Body otherwise;
};
enum class Recursion { kNone, kRecursive };
struct For {
  ExpressionRef target, iterable;
  ExpressionRef condition, condition_target;  // absent without a condition
  Recursion recursion;
  Body body, otherwise;
  Scope body_scope, condition_scope, otherwise_scope;
  bool uses_loop = false;
  int loop_slot = 0;
  int slots = 0;  // of the function that a recursive loop is
};
struct Assign {
  ExpressionRef target, value;
};
struct AssignBlock {
  ExpressionRef target;
  ExpressionRef filter;  // may be absent
  Body body;
  Scope scope;
};
struct Parameter {
  std::string name;
  ExpressionRef fallback;  // may be absent
  int slot = 0;
};
// The signature and body of a macro or of a call block.
struct MacroBody {
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
  Scope scope;
  int slots = 0;
  // Slots of the special variables, when the body uses them and no parameter has the name.
  std::optional<int> caller, named, varargs;
  bool takes_caller = false;
};
struct Macro {
  MacroBody body;
  Place place;
};
struct CallBlock {
  MacroBody caller;
  ExpressionRef call;
};
struct FilterBlock {
  ExpressionRef filter;
  Body body;
  Scope scope;
};
struct With {
  Expressions targets, values;
  Body body;
  Scope scope;
};
struct Break {};
struct Continue {};

using StatementNode = std::variant<Output, If, For, Assign, AssignBlock, Macro, CallBlock,
                                   FilterBlock, With, Break, Continue>;

struct Statement {
  int line;
  StatementNode node;
};

// Calls visit(child) for every direct child that is present, in the order of evaluation.
template <class Visit>
void for_each_child(const Expression& expression, Visit visit) {
  const auto one = [&](const ExpressionRef& child) {
    if (child) visit(*child);
  };
  const auto all = [&](const Expressions& children) {
    for (const ExpressionRef& child : children) one(child);
  };
  const auto arguments = [&](const CallArguments& children) {
    all(children.positional);
    for (const auto& [name, child] : children.named) one(child);
    one(children.list);
    one(children.dict);
  };
  struct Visitor {
    decltype(one)& visit_one;
    decltype(all)& visit_all;
    decltype(arguments)& visit_arguments;
    void operator()(const Constant&) const {}
    void operator()(const Variable&) const {}
    void operator()(const NamespaceTarget&) const {}
    void operator()(const ListLiteral& node) const { visit_all(node.items); }
    void operator()(const DictLiteral& node) const {
      for (const auto& [key, value] : node.entries) {
        visit_one(key);
        visit_one(value);
      }
    }
    void operator()(const Unary& node) const { visit_one(node.operand); }
    void operator()(const Binary& node) const { pair(node.left, node.right); }
    void operator()(const Logical& node) const { pair(node.left, node.right); }
    void operator()(const Concatenation& node) const { visit_all(node.parts); }
    void operator()(const ComparisonChain& node) const {
      visit_one(node.first);
      for (const auto& [comparison, operand] : node.rest) visit_one(operand);
    }
    void operator()(const Conditional& node) const {
      visit_one(node.test);
      pair(node.yes, node.no);
    }
    void operator()(const AttributeAccess& node) const { visit_one(node.object); }
    void operator()(const Subscript& node) const { pair(node.object, node.key); }
    void operator()(const SliceAccess& node) const {
      pair(node.object, node.start);
      pair(node.stop, node.step);
    }
    void operator()(const Call& node) const {
      visit_one(node.callee);
      visit_arguments(node.arguments);
    }
    void operator()(const FilterCall& node) const {
      visit_one(node.subject);
      visit_arguments(node.arguments);
    }
    void operator()(const TestCall& node) const {
      visit_one(node.subject);
      visit_arguments(node.arguments);
    }
    void pair(const ExpressionRef& first, const ExpressionRef& second) const {
      visit_one(first);
      visit_one(second);
    }
  };
  std::visit(Visitor{one, all, arguments}, expression.node);
}

}  // namespace strake::jinja
