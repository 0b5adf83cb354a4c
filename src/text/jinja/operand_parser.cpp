// Operands of expressions: names, literals, and what follows them.
#include <utility>

#include "text/jinja/expression_parser.h"

namespace strake::jinja {

ExpressionRef ExpressionParser::primary() {
  const Token& token = current();
  switch (token.kind) {
    case TokenKind::kName:
      return name();
    case TokenKind::kNumber:
      return make(token.line, Constant{next().value});
    case TokenKind::kString: {
      std::string text;
      while (current().kind == TokenKind::kString) text += next().value.text()->bytes;
      return make(token.line, Constant{Value(std::move(text))});
    }
    case TokenKind::kOperator:
      if (token.text == "(") return parenthesized();
      if (token.text == "[") return list_literal();
      if (token.text == "{") return dict_literal();
      break;
    case TokenKind::kData:
    case TokenKind::kVariableBegin:
    case TokenKind::kVariableEnd:
    case TokenKind::kBlockBegin:
    case TokenKind::kBlockEnd:
    case TokenKind::kEnd:
      break;
  }
  error(token.line, "unexpected '{}'", token.describe());
}

ExpressionRef ExpressionParser::name() {
  const Token& token = next();
  if (token.text == "true" || token.text == "True") return make(token.line, Constant{Value(true)});
  if (token.text == "false" || token.text == "False")
    return make(token.line, Constant{Value(false)});
  if (token.text == "none" || token.text == "None") return make(token.line, Constant{None{}});
  return make(token.line, Variable{token.text, {}});
}

ExpressionRef ExpressionParser::parenthesized() {
  const int line = next().line;
  ExpressionRef inside =
      at_operator(")") ? make(line, ListLiteral{ListKind::kTuple, Expressions{}}) : tuple();
  expect_operator(")");
  return inside;
}

ExpressionRef ExpressionParser::list_literal() {
  const int line = next().line;
  Expressions items;
  while (!at_operator("]")) {
    if (!items.empty()) expect_operator(",");
    if (at_operator("]")) break;
    items.push_back(expression());
  }
  expect_operator("]");
  return make(line, ListLiteral{ListKind::kList, std::move(items)});
}

ExpressionRef ExpressionParser::dict_literal() {
  const int line = next().line;
  DictLiteral dict;
  while (!at_operator("}")) {
    if (!dict.entries.empty()) expect_operator(",");
    if (at_operator("}")) break;
    ExpressionRef key = expression();
    expect_operator(":");
    dict.entries.emplace_back(std::move(key), expression());
  }
  expect_operator("}");
  return make(line, std::move(dict));
}

ExpressionRef ExpressionParser::postfix(ExpressionRef operand) {
  while (true) {
    if (at_operator("."))
      operand = attribute(std::move(operand));
    else if (at_operator("["))
      operand = subscript(std::move(operand));
    else if (at_operator("("))
      operand = call(std::move(operand));
    else
      return operand;
  }
}

ExpressionRef ExpressionParser::filters_and_tests(ExpressionRef operand) {
  while (true) {
    if (at_operator("|"))
      operand = filters(std::move(operand));
    else if (at_name("is"))
      operand = test(std::move(operand));
    else if (at_operator("("))
      operand = call(std::move(operand));
    else
      return operand;
  }
}

ExpressionRef ExpressionParser::attribute(ExpressionRef object) {
  const int line = next().line;
  const Token& token = next();
  if (token.kind == TokenKind::kName)
    return make(line, AttributeAccess{std::move(object), token.text});
  if (token.kind == TokenKind::kNumber && token.value.integer())
    return make(line, Subscript{std::move(object), make(line, Constant{token.value})});
  error(token.line, "expected name or number");
}

ExpressionRef ExpressionParser::subscript(ExpressionRef object) {
  const int line = next().line;
  ExpressionRef start, stop, step;
  if (!at_operator(":")) {
    start = subscript_key();
    if (skip_operator("]")) return make(line, Subscript{std::move(object), std::move(start)});
  }
  expect_operator(":");
  if (!at_operator(":") && !at_operator("]")) stop = expression();
  if (skip_operator(":") && !at_operator("]")) step = expression();
  expect_operator("]");
  return make(line,
              SliceAccess{std::move(object), std::move(start), std::move(stop), std::move(step)});
}

ExpressionRef ExpressionParser::subscript_key() {
  const int line = current().line;
  Expressions keys;
  while (!at_operator("]") && !at_operator(":")) {
    if (!keys.empty()) expect_operator(",");
    if (!at_operator("]")) keys.push_back(expression());
  }
  if (keys.size() == 1) return std::move(keys[0]);
  return make(line, ListLiteral{ListKind::kTuple, std::move(keys)});
}

ExpressionRef ExpressionParser::call(ExpressionRef callee) {
  const int line = current().line;
  CallArguments arguments = call_arguments();
  return make(line, Call{std::move(callee), std::move(arguments)});
}

CallArguments ExpressionParser::call_arguments() {
  const int line = next().line;
  CallArguments arguments;
  const auto require = [&](bool fits) {
    if (!fits) error(line, "invalid syntax for function call expression");
  };
  for (bool first = true; !at_operator(")"); first = false) {
    if (!first) {
      expect_operator(",");
      if (at_operator(")")) break;
    }
    if (skip_operator("*")) {
      require(!arguments.list && !arguments.dict);
      arguments.list = expression();
    } else if (skip_operator("**")) {
      require(!arguments.dict);
      arguments.dict = expression();
    } else if (current().kind == TokenKind::kName && look().is(TokenKind::kOperator, "=")) {
      require(!arguments.dict);
      const std::string name = next().text;
      next();
      for (const auto& [other, value] : arguments.named)
        if (other == name) error(line, "keyword argument '{}' is repeated", name);
      arguments.named.emplace_back(name, expression());
    } else {
      require(!arguments.list && !arguments.dict && arguments.named.empty());
      arguments.positional.push_back(expression());
    }
  }
  expect_operator(")");
  return arguments;
}

std::string ExpressionParser::dotted_name(std::string_view kind) {
  std::string name = expect(TokenKind::kName, kind).text;
  while (skip_operator(".")) name += "." + expect(TokenKind::kName, kind).text;
  return name;
}

ExpressionRef ExpressionParser::filters(ExpressionRef subject, FirstFilter first) {
  bool bare = first == FirstFilter::kBare;
  while (bare || skip_operator("|")) {
    bare = false;
    const int line = current().line;
    const std::string name = dotted_name("the name of a filter");
    const Filter* filter = find_filter(name);
    if (!filter) note_unknown(line, fmt::format("No filter named '{}'.", name));
    CallArguments arguments;
    if (at_operator("(")) arguments = call_arguments();
    subject = make(line, FilterCall{std::move(subject), name, filter, std::move(arguments)});
  }
  return subject;
}

ExpressionRef ExpressionParser::test(ExpressionRef subject) {
  const int line = next().line;
  const bool negated = skip_name("not");
  const std::string name = dotted_name("the name of a test");
  const Test* found = find_test(name);
  if (!found) note_unknown(line, fmt::format("No test named '{}'.", name));
  CallArguments arguments;
  const Token& token = current();
  const bool operand =
      token.kind == TokenKind::kString || token.kind == TokenKind::kNumber || at_operator("[") ||
      at_operator("{") ||
      (token.kind == TokenKind::kName && !at_name("else") && !at_name("or") && !at_name("and"));
  if (at_operator("(")) {
    arguments = call_arguments();
  } else if (operand) {
    if (at_name("is")) error(token.line, "You cannot chain multiple tests with is");
    const Nesting nesting(*this);
    arguments.positional.push_back(postfix(primary()));
  }
  ExpressionRef made = make(line, TestCall{std::move(subject), name, found, std::move(arguments)});
  if (!negated) return made;
  return make(line, Unary{UnaryOperator::kNot, std::move(made)});
}

}  // namespace strake::jinja
