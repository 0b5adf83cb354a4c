// Expressions: a recursive descent over the tokens, one method a level of precedence.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace strake::jinja {

// Trees higher than this, and blocks nested deeper, are refused: it bounds all recursion on them.
constexpr int kMaxHeight = 200;

class ExpressionParser {
 public:
  ExpressionParser(std::string_view source, std::string_view what)
      : what_(what), tokens_(tokenize(source, what)) {}

 protected:
  // Whether an unknown filter is an error at once, or only where it is applied.
  enum class Unknown { kRefused, kDeferred };
  enum class Condition { kAllowed, kNone };

  ExpressionRef expression(Condition condition = Condition::kAllowed);
  // One expression or, with commas, a tuple of them.
  ExpressionRef tuple(Condition condition = Condition::kAllowed);
  // Names, tuples of names, and, where allowed, attributes of namespaces.
  enum class Targets { kNames, kNamesAndNamespaces };
  ExpressionRef target(Targets targets);
  // `| name(...)` any number of times; the bar may be left out in front of the first.
  enum class FirstFilter { kWithBar, kBare };
  ExpressionRef filters(ExpressionRef subject, FirstFilter first = FirstFilter::kWithBar);

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& next();
  bool at_name(std::string_view name) const { return current().is(TokenKind::kName, name); }
  bool at_operator(std::string_view text) const { return current().is(TokenKind::kOperator, text); }
  bool skip_name(std::string_view name);
  bool skip_operator(std::string_view text);
  const Token& expect(TokenKind kind, std::string_view what);
  void expect_operator(std::string_view text);
  void expect_name(std::string_view name);

  template <class... Args>
  [[noreturn]] void error(int line, fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorKind::kCheckpoint, "{}, line {}: {}", what_, line,
         fmt::format(format, std::forward<Args>(args)...));
  }
  std::string_view what() const { return what_; }

  // Counts the blocks and brackets around what is being parsed.
  class Nesting {
   public:
    explicit Nesting(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.nesting_ > kMaxHeight)
        parser_.error(parser_.current().line, "nested deeper than {} levels", kMaxHeight);
    }
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    ExpressionParser& parser_;
  };

  Unknown unknown_ = Unknown::kRefused;
  // Throws for the first unknown filter or test that is surely evaluated.
  void refuse_unknown() const;

 private:
  struct UnknownName {
    int line;
    std::string message;
  };
  void note_unknown(int line, std::string message);
  ExpressionRef make(int line, ExpressionNode node) const;
  ExpressionRef conditional();
  ExpressionRef disjunction();
  ExpressionRef conjunction();
  ExpressionRef negation();
  ExpressionRef comparison();
  ExpressionRef sum();
  ExpressionRef concatenation();
  ExpressionRef product();
  ExpressionRef power();
  enum class Filters { kApplied, kNotYet };
  ExpressionRef unary(Filters filters = Filters::kApplied);
  ExpressionRef primary();
  ExpressionRef name();
  ExpressionRef parenthesized();
  ExpressionRef list_literal();
  ExpressionRef dict_literal();
  ExpressionRef postfix(ExpressionRef operand);
  ExpressionRef filters_and_tests(ExpressionRef operand);
  ExpressionRef attribute(ExpressionRef object);
  ExpressionRef subscript(ExpressionRef object);
  ExpressionRef subscript_key();
  ExpressionRef call(ExpressionRef callee);
  ExpressionRef test(ExpressionRef subject);
  CallArguments call_arguments();
  std::string dotted_name(std::string_view kind);
  bool at_tuple_end() const;
  void require_target(const Expression& target) const;

  std::string_view what_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
  std::vector<UnknownName> unknown_names_;
};

}  // namespace strake::jinja
