#include "text/jinja/parser.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "text/jinja/expression_parser.h"
#include "text/jinja/scope.h"
#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

constexpr size_t kMaxSourceBytes = size_t{1} << 20;

using Names = std::initializer_list<std::string_view>;

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Body run() {
    Body body = statements({});
    refuse_unknown();
    return body;
  }

 private:
  template <class Node>
  static std::unique_ptr<Statement> make(int line, Node node) {
    return std::make_unique<Statement>(Statement{line, std::move(node)});
  }

  // Unknown filters inside are errors at once, or wait until they are applied.
  class Scoped {
   public:
    Scoped(Parser& parser, Unknown unknown)
        : parser_(parser), unknown_(std::exchange(parser.unknown_, unknown)) {}
    ~Scoped() { parser_.unknown_ = unknown_; }
    Scoped(const Scoped&) = delete;
    Scoped& operator=(const Scoped&) = delete;

   private:
    Parser& parser_;
    Unknown unknown_;
  };

  // Up to a tag whose name is one of `ends`, which is left to the caller.
  Body statements(Names ends) {
    const Nesting nesting(*this);
    Body body;
    const auto append_output = [&](int line, ExpressionRef part) {
      if (body.empty() || !std::holds_alternative<Output>(body.back()->node))
        body.push_back(make(line, Output{}));
      std::get<Output>(body.back()->node).parts.push_back(std::move(part));
    };
    while (current().kind != TokenKind::kEnd) {
      const Token& token = next();
      if (token.kind == TokenKind::kData) {
        append_output(token.line, std::make_unique<Expression>(
                                      Expression{token.line, 0, Constant{Value(token.text)}}));
      } else if (token.kind == TokenKind::kVariableBegin) {
        append_output(token.line, tuple());
        expect(TokenKind::kVariableEnd, "end of print statement");
      } else {
        if (std::ranges::any_of(ends, [&](auto name) { return at_name(name); })) return body;
        if (auto made = statement()) body.push_back(std::move(made));
        expect(TokenKind::kBlockEnd, "end of statement block");
      }
    }
    if (ends.size() > 0)
      error(current().line, "Unexpected end of template: '{}' is missing", *ends.begin());
    return body;
  }

  // The rest of an opening tag, the body, and the tag that ends it with its name read.
  Body block(Names ends) {
    skip_operator(":");
    expect(TokenKind::kBlockEnd, "end of statement block");
    return statements(ends);
  }
  Body scoped_block(std::string_view end) {
    const Scoped scoped(*this, Unknown::kRefused);
    Body body = block({end});
    next();
    return body;
  }

  std::unique_ptr<Statement> statement() {
    const Token& tag = expect(TokenKind::kName, "the name of a tag");
    if (tag.text == "if") return if_statement(tag.line);
    if (tag.text == "for") return for_statement(tag.line);
    if (tag.text == "set") return set_statement(tag.line);
    if (tag.text == "macro") return macro_statement(tag.line);
    if (tag.text == "call") return call_statement(tag.line);
    if (tag.text == "filter") return filter_statement(tag.line);
    if (tag.text == "with") return with_statement(tag.line);
    if (tag.text == "print") return print_statement(tag.line);
    if (tag.text == "generation") {
      // Marks the assistant's tokens for training; here it is only a scope.
      Body body = scoped_block("endgeneration");
      return make(tag.line, With{{}, {}, std::move(body), {}});
    }
    if (tag.text == "break" || tag.text == "continue") {
      if (!in_loop_) error(tag.line, "'{}' outside loop", tag.text);
      if (tag.text == "break") return make(tag.line, Break{});
      return make(tag.line, Continue{});
    }
    constexpr std::array<std::string_view, 6> kUnsupported{"block",  "extends", "include",
                                                           "import", "from",    "autoescape"};
    if (std::ranges::find(kUnsupported, tag.text) != kUnsupported.end())
      fail(ErrorKind::kUnsupported, "{}, line {}: the tag '{}' is not supported in chat templates",
           what(), tag.line, tag.text);
    error(tag.line, "Encountered unknown tag '{}'.", tag.text);
  }

  std::unique_ptr<Statement> if_statement(int line) {
    const Scoped scoped(*this, Unknown::kDeferred);
    If node;
    std::string end = "elif";
    while (end == "elif") {
      ExpressionRef test = tuple(Condition::kNone);
      node.branches.emplace_back(std::move(test), block({"elif", "else", "endif"}));
      end = next().text;
    }
    if (end == "else") {
      node.otherwise = block({"endif"});
      next();
    }
    return make(line, std::move(node));
  }

  std::unique_ptr<Statement> for_statement(int line) {
    For node;
    node.target = target(Targets::kNames);
    expect_name("in");
    node.iterable = tuple(Condition::kNone);
    if (skip_name("if")) {
      const Scoped scoped(*this, Unknown::kRefused);
      node.condition = expression();
      node.condition_target = copy_target(*node.target);
    }
    node.recursion = skip_name("recursive") ? Recursion::kRecursive : Recursion::kNone;
    const bool outside = std::exchange(in_loop_, true);
    {
      const Scoped scoped(*this, Unknown::kRefused);
      node.body = block({"endfor", "else"});
      in_loop_ = outside;
      if (next().text == "else") {
        node.otherwise = block({"endfor"});
        next();
      }
    }
    return make(line, std::move(node));
  }

  // The condition has variables of its own for the loop's target.
  static ExpressionRef copy_target(const Expression& original) {
    ExpressionNode node;
    if (const auto* items = std::get_if<ListLiteral>(&original.node)) {
      ListLiteral copy{items->kind, {}};
      for (const ExpressionRef& item : items->items) copy.items.push_back(copy_target(*item));
      node = std::move(copy);
    } else {
      node = std::get<Variable>(original.node);
    }
    return std::make_unique<Expression>(
        Expression{original.line, original.height, std::move(node)});
  }

  std::unique_ptr<Statement> set_statement(int line) {
    ExpressionRef to = target(Targets::kNamesAndNamespaces);
    if (skip_operator("=")) {
      ExpressionRef value = tuple();
      return make(line, Assign{std::move(to), std::move(value)});
    }
    const Scoped scoped(*this, Unknown::kRefused);
    ExpressionRef filter = filters(nullptr);
    Body body = scoped_block("endset");
    return make(line, AssignBlock{std::move(to), std::move(filter), std::move(body), {}});
  }

  std::vector<Parameter> parameters() {
    std::vector<Parameter> list;
    expect_operator("(");
    while (!at_operator(")")) {
      if (!list.empty()) expect_operator(",");
      const Token& name = expect(TokenKind::kName, "the name of a parameter");
      for (const Parameter& other : list)
        if (other.name == name.text) error(name.line, "parameter '{}' is repeated", name.text);
      ExpressionRef fallback = skip_operator("=") ? expression() : nullptr;
      if (!fallback && !list.empty() && list.back().fallback)
        error(name.line, "non-default argument follows default argument");
      list.push_back({name.text, std::move(fallback)});
    }
    expect_operator(")");
    return list;
  }

  MacroBody macro_body(std::string name, std::vector<Parameter> parameters, std::string_view end) {
    const bool outside = std::exchange(in_loop_, false);
    MacroBody macro;
    macro.name = std::move(name);
    macro.parameters = std::move(parameters);
    macro.body = scoped_block(end);
    in_loop_ = outside;
    return macro;
  }

  std::unique_ptr<Statement> macro_statement(int line) {
    const Scoped scoped(*this, Unknown::kRefused);
    const std::string name = expect(TokenKind::kName, "the name of a macro").text;
    std::vector<Parameter> list = parameters();
    return make(line, Macro{macro_body(name, std::move(list), "endmacro"), {}});
  }

  std::unique_ptr<Statement> call_statement(int line) {
    std::vector<Parameter> list;
    if (at_operator("(")) list = parameters();
    ExpressionRef call = expression();
    if (!std::holds_alternative<Call>(call->node)) error(line, "expected call");
    MacroBody caller = macro_body("caller", std::move(list), "endcall");
    return make(line, CallBlock{std::move(caller), std::move(call)});
  }

  std::unique_ptr<Statement> filter_statement(int line) {
    const Scoped scoped(*this, Unknown::kRefused);
    ExpressionRef filter = filters(nullptr, FirstFilter::kBare);
    Body body = scoped_block("endfilter");
    return make(line, FilterBlock{std::move(filter), std::move(body), {}});
  }

  std::unique_ptr<Statement> with_statement(int line) {
    With node;
    while (current().kind != TokenKind::kBlockEnd) {
      if (!node.targets.empty()) expect_operator(",");
      node.targets.push_back(target(Targets::kNames));
      expect_operator("=");
      node.values.push_back(expression());
    }
    node.body = scoped_block("endwith");
    return make(line, std::move(node));
  }

  std::unique_ptr<Statement> print_statement(int line) {
    Output node;
    while (current().kind != TokenKind::kBlockEnd) {
      if (!node.parts.empty()) expect_operator(",");
      node.parts.push_back(expression());
    }
    return make(line, std::move(node));
  }

  bool in_loop_ = false;
};

}  // namespace

Program parse_program(std::string_view source, std::string_view what) {
  if (source.size() > kMaxSourceBytes)
    fail(ErrorKind::kCheckpoint, "{}: a template of {} bytes, at most {} are read", what,
         source.size(), kMaxSourceBytes);
  if (!valid_utf8(source)) fail(ErrorKind::kCheckpoint, "{}: not valid UTF-8", what);
  Program program;
  program.body = Parser(source, what).run();
  resolve_scopes(program, what);
  return program;
}

}  // namespace strake::jinja
