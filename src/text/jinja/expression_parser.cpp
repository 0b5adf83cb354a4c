#include "text/jinja/expression_parser.h"

#include <algorithm>
#include <optional>

namespace strake::jinja {
namespace {

std::optional<Comparison> comparison_of(std::string_view text) {
  if (text == "==") return Comparison::kEqual;
  if (text == "!=") return Comparison::kNotEqual;
  if (text == "<") return Comparison::kLess;
  if (text == "<=") return Comparison::kLessEqual;
  if (text == ">") return Comparison::kGreater;
  if (text == ">=") return Comparison::kGreaterEqual;
  return std::nullopt;
}

std::optional<Operator> product_operator(std::string_view text) {
  if (text == "*") return Operator::kMultiply;
  if (text == "/") return Operator::kDivide;
  if (text == "//") return Operator::kFloorDivide;
  if (text == "%") return Operator::kModulo;
  return std::nullopt;
}

}  // namespace

const Token& ExpressionParser::next() {
  const Token& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool ExpressionParser::skip_name(std::string_view name) { return at_name(name) && (next(), true); }

bool ExpressionParser::skip_operator(std::string_view text) {
  return at_operator(text) && (next(), true);
}

const Token& ExpressionParser::expect(TokenKind kind, std::string_view what) {
  if (current().kind != kind)
    error(current().line, "expected {}, got '{}'", what, current().describe());
  return next();
}

void ExpressionParser::expect_operator(std::string_view text) {
  if (!skip_operator(text))
    error(current().line, "expected '{}', got '{}'", text, current().describe());
}

void ExpressionParser::expect_name(std::string_view name) {
  if (!skip_name(name))
    error(current().line, "expected '{}', got '{}'", name, current().describe());
}

ExpressionRef ExpressionParser::make(int line, ExpressionNode node) const {
  auto made = std::make_unique<Expression>(Expression{line, 0, std::move(node)});
  for_each_child(*made, [&](const Expression& child) {
    made->height = std::max(made->height, child.height + 1);
  });
  if (made->height > kMaxHeight) error(line, "an expression has more than {} levels", kMaxHeight);
  return made;
}

ExpressionRef ExpressionParser::expression(Condition condition) {
  const Nesting nesting(*this);
  return condition == Condition::kAllowed ? conditional() : disjunction();
}

ExpressionRef ExpressionParser::conditional() {
  const int line = current().line;
  const size_t unknown_before = unknown_names_.size();
  ExpressionRef value = disjunction();
  if (!at_name("if")) return value;
  // What stands in a condition may never be evaluated: unknown names are not yet errors.
  unknown_names_.resize(unknown_before);
  const Unknown outside = std::exchange(unknown_, Unknown::kDeferred);
  while (skip_name("if")) {
    ExpressionRef condition = disjunction();
    ExpressionRef otherwise = skip_name("else") ? expression() : nullptr;
    value = make(line, Conditional{std::move(condition), std::move(value), std::move(otherwise)});
  }
  unknown_ = outside;
  return value;
}

void ExpressionParser::note_unknown(int line, std::string message) {
  if (unknown_ == Unknown::kRefused) unknown_names_.push_back({line, std::move(message)});
}

void ExpressionParser::refuse_unknown() const {
  if (!unknown_names_.empty()) error(unknown_names_[0].line, "{}", unknown_names_[0].message);
}

ExpressionRef ExpressionParser::disjunction() {
  const int line = current().line;
  ExpressionRef left = conjunction();
  while (skip_name("or"))
    left = make(line, Logical{LogicalOperator::kOr, std::move(left), conjunction()});
  return left;
}

ExpressionRef ExpressionParser::conjunction() {
  const int line = current().line;
  ExpressionRef left = negation();
  while (skip_name("and"))
    left = make(line, Logical{LogicalOperator::kAnd, std::move(left), negation()});
  return left;
}

ExpressionRef ExpressionParser::negation() {
  const int line = current().line;
  if (!skip_name("not")) return comparison();
  const Nesting nesting(*this);
  return make(line, Unary{UnaryOperator::kNot, negation()});
}

ExpressionRef ExpressionParser::comparison() {
  const int line = current().line;
  ExpressionRef first = sum();
  std::vector<std::pair<Comparison, ExpressionRef>> rest;
  while (true) {
    const auto ordered =
        current().kind == TokenKind::kOperator ? comparison_of(current().text) : std::nullopt;
    if (ordered) {
      next();
      rest.emplace_back(*ordered, sum());
    } else if (skip_name("in")) {
      rest.emplace_back(Comparison::kIn, sum());
    } else if (at_name("not") && look().is(TokenKind::kName, "in")) {
      next();
      next();
      rest.emplace_back(Comparison::kNotIn, sum());
    } else {
      break;
    }
  }
  if (rest.empty()) return first;
  return make(line, ComparisonChain{std::move(first), std::move(rest)});
}

ExpressionRef ExpressionParser::sum() {
  const int line = current().line;
  ExpressionRef left = concatenation();
  while (at_operator("+") || at_operator("-")) {
    const Operator operation = next().text == "+" ? Operator::kAdd : Operator::kSubtract;
    left = make(line, Binary{operation, std::move(left), concatenation()});
  }
  return left;
}

ExpressionRef ExpressionParser::concatenation() {
  const int line = current().line;
  Expressions parts;
  parts.push_back(product());
  while (skip_operator("~")) parts.push_back(product());
  if (parts.size() == 1) return std::move(parts[0]);
  return make(line, Concatenation{std::move(parts)});
}

ExpressionRef ExpressionParser::product() {
  const int line = current().line;
  ExpressionRef left = power();
  while (current().kind == TokenKind::kOperator && product_operator(current().text)) {
    const Operator operation = *product_operator(next().text);
    left = make(line, Binary{operation, std::move(left), power()});
  }
  return left;
}

ExpressionRef ExpressionParser::power() {
  const int line = current().line;
  ExpressionRef left = unary();
  while (skip_operator("**")) left = make(line, Binary{Operator::kPower, std::move(left), unary()});
  return left;
}

ExpressionRef ExpressionParser::unary(Filters filters) {
  const int line = current().line;
  const Nesting nesting(*this);
  ExpressionRef operand;
  if (skip_operator("-"))
    operand = make(line, Unary{UnaryOperator::kNegate, unary(Filters::kNotYet)});
  else if (skip_operator("+"))
    operand = make(line, Unary{UnaryOperator::kPlus, unary(Filters::kNotYet)});
  else
    operand = primary();
  operand = postfix(std::move(operand));
  return filters == Filters::kApplied ? filters_and_tests(std::move(operand)) : std::move(operand);
}

bool ExpressionParser::at_tuple_end() const {
  return current().kind == TokenKind::kVariableEnd || current().kind == TokenKind::kBlockEnd ||
         at_operator(")");
}

ExpressionRef ExpressionParser::tuple(Condition condition) {
  const int line = current().line;
  Expressions items;
  bool commas = false;
  while (true) {
    if (!items.empty()) expect_operator(",");
    if (at_tuple_end()) break;
    items.push_back(expression(condition));
    if (!at_operator(",")) break;
    commas = true;
  }
  if (commas) return make(line, ListLiteral{ListKind::kTuple, std::move(items)});
  if (items.empty()) error(line, "Expected an expression, got '{}'", current().describe());
  return std::move(items[0]);
}

ExpressionRef ExpressionParser::target(Targets targets) {
  const int line = current().line;
  Expressions items;
  bool commas = false;
  while (true) {
    if (!items.empty()) expect_operator(",");
    if (at_tuple_end()) break;
    if (targets == Targets::kNamesAndNamespaces && current().kind == TokenKind::kName &&
        look().is(TokenKind::kOperator, ".")) {
      const Token& name = next();
      next();
      const Token& attribute = expect(TokenKind::kName, "the name of an attribute");
      items.push_back(make(name.line, NamespaceTarget{name.text, attribute.text, {}}));
    } else {
      items.push_back(primary());
      require_target(*items.back());
    }
    if (!at_operator(",")) break;
    commas = true;
  }
  if (commas) return make(line, ListLiteral{ListKind::kTuple, std::move(items)});
  if (items.empty()) error(line, "Expected an expression, got '{}'", current().describe());
  return std::move(items[0]);
}

void ExpressionParser::require_target(const Expression& target) const {
  if (std::holds_alternative<Variable>(target.node)) return;
  const auto* items = std::get_if<ListLiteral>(&target.node);
  if (!items || items->kind == ListKind::kList) error(target.line, "can't assign to an expression");
  for (const ExpressionRef& item : items->items) require_target(*item);
}

}  // namespace strake::jinja
