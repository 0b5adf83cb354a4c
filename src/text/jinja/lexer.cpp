#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>

#include "text/jinja/numbers.h"
#include "text/jinja/string_literal.h"
#include "text/jinja/text_parts.h"
#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

constexpr std::array<std::string_view, 26> kOperators{
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

bool is_digit_byte(char c) { return c >= '0' && c <= '9'; }

// Lines end in \n alone, and one line end at the end of the source is dropped.
std::string normalized(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view what)
      : source_(normalized(source)), rest_(source_), what_(what) {}

  std::vector<Token> run() {
    while (at_ < rest_.size()) outside();
    add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  enum class Control { kNone, kStrip, kKeep };

  template <class... Args>
  [[noreturn]] void error(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorKind::kCheckpoint, "{}, line {}: {}", what_, line_,
         fmt::format(format, std::forward<Args>(args)...));
  }

  void add(TokenKind kind, std::string_view text = {}, Value value = {}) {
    tokens_.push_back({kind, line_, std::string(text), std::move(value)});
  }

  bool looking_at(std::string_view text) const { return rest_.substr(at_).starts_with(text); }

  void advance(size_t bytes) {
    const auto passed = rest_.substr(at_, bytes);
    line_ += static_cast<int>(std::ranges::count(passed, '\n'));
    if (!passed.empty()) line_starting_ = passed.back() == '\n';
    at_ += bytes;
  }
  bool take(std::string_view text) {
    if (!looking_at(text)) return false;
    advance(text.size());
    return true;
  }
  void skip_space() {
    const auto rest = rest_.substr(at_);
    advance(rest.size() - strip_space(rest, Side::kLeft).size());
  }

  Control control_at(size_t at) const {
    if (at >= rest_.size()) return Control::kNone;
    return rest_[at] == '-' ? Control::kStrip : rest_[at] == '+' ? Control::kKeep : Control::kNone;
  }

  // Text in front of a tag: `-` strips all white space there; without a sign, blanks between the
  // beginning of the line and a block or comment go.
  std::string_view before_tag(std::string_view text, Control control, bool strips_line) const {
    if (control == Control::kStrip) return strip_space(text, Side::kRight);
    if (control == Control::kKeep || !strips_line) return text;
    const size_t line_begin = text.rfind('\n') + 1;
    if (line_begin == 0 && !line_starting_) return text;
    return strip_space(text.substr(line_begin)).empty() ? text.substr(0, line_begin) : text;
  }

  // From where the last tag ended to the end of the next.
  void outside() {
    size_t begin = rest_.find('{', at_);
    while (begin < rest_.size() &&
           (begin + 1 >= rest_.size() ||
            std::string_view("{%#").find(rest_[begin + 1]) == std::string_view::npos))
      begin = rest_.find('{', begin + 1);
    if (begin >= rest_.size()) {
      data(rest_.substr(at_), rest_.size() - at_);
      return;
    }
    const std::string_view text = rest_.substr(at_, begin - at_);
    const char kind = rest_[begin + 1];
    const Control control = control_at(begin + 2);
    data(before_tag(text, control, kind != '{'), text.size());
    advance(control == Control::kNone ? 2 : 3);
    if (kind == '#')
      comment();
    else if (kind == '{')
      inside(TokenKind::kVariableBegin);
    else if (!raw())
      inside(TokenKind::kBlockBegin);
  }

  void data(std::string_view text, size_t passed) {
    if (!text.empty()) add(TokenKind::kData, text);
    advance(passed);
  }

  // Behind `-` all white space goes, behind a plain end of a block or comment one line end.
  bool end_of_tag(std::string_view end, bool block) {
    if (looking_at("-") && rest_.substr(at_ + 1).starts_with(end)) {
      advance(1 + end.size());
      skip_space();
      return true;
    }
    if (block && looking_at("+") && rest_.substr(at_ + 1).starts_with(end)) {
      advance(1 + end.size());
      return true;
    }
    if (!take(end)) return false;
    if (block) take("\n");
    return true;
  }

  // A comment or raw block that begins at the very end of the source is empty.
  void comment() {
    if (at_ == rest_.size()) return;
    while (at_ < rest_.size()) {
      if (end_of_tag("#}", true)) return;
      advance(1);
    }
    error("Missing end of comment tag");
  }

  // {% raw %} ... {% endraw %}; false, and nothing read, for any other tag.
  bool raw() {
    const size_t begin = at_;
    const int line = line_;
    skip_space();
    const bool opens = take("raw") && (skip_space(), true) && raw_tag_closes();
    if (!opens) {
      at_ = begin;
      line_ = line;
      return false;
    }
    if (at_ == rest_.size()) return true;
    for (size_t end = rest_.find("{%", at_); end < rest_.size(); end = rest_.find("{%", end + 1)) {
      const Control control = control_at(end + 2);
      std::string_view tag = rest_.substr(end + (control == Control::kNone ? 2 : 3));
      tag = strip_space(tag, Side::kLeft);
      if (!tag.starts_with("endraw")) continue;
      tag = strip_space(tag.substr(6), Side::kLeft);
      if (!tag.starts_with("%}") && !tag.starts_with("-%}") && !tag.starts_with("+%}")) continue;
      const std::string_view text = rest_.substr(at_, end - at_);
      data(before_tag(text, control, true), text.size());
      advance(static_cast<size_t>(tag.data() - rest_.data()) - at_);
      end_of_tag("%}", true);
      return true;
    }
    error("Missing end of raw directive");
  }
  bool raw_tag_closes() {
    if (take("%}")) return true;
    if (!take("-%}")) return false;
    skip_space();
    return true;
  }

  void inside(TokenKind begin) {
    const bool block = begin == TokenKind::kBlockBegin;
    add(begin);
    std::string open;  // brackets that wait for their partners
    while (at_ < rest_.size()) {
      const int line = line_;
      if (open.empty() && end_of_tag(block ? "%}" : "}}", block)) {
        tokens_.push_back({block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, line, "", {}});
        return;
      }
      skip_space();
      if (at_ < rest_.size() && !(open.empty() && at_tag_end(block))) word(open);
    }
  }
  bool at_tag_end(bool block) const {
    const std::string_view end = block ? "%}" : "}}";
    const size_t sign = looking_at("-") || (block && looking_at("+")) ? 1 : 0;
    return rest_.substr(at_ + sign).starts_with(end) || looking_at(end);
  }

  void word(std::string& open) {
    const char c = rest_[at_];
    if (is_digit_byte(c)) return number();
    if (c == '"' || c == '\'') return string(c);
    size_t end = at_;
    for (size_t next = at_; next < rest_.size();) {
      if (!is_identifier_part(next_code_point(rest_, next))) break;
      end = next;
    }
    if (end > at_) {
      add(TokenKind::kName, rest_.substr(at_, end - at_));
      advance(end - at_);
      return;
    }
    for (const std::string_view text : kOperators) {
      if (!looking_at(text)) continue;
      balance(text[0], open);
      add(TokenKind::kOperator, text);
      advance(text.size());
      return;
    }
    size_t behind = at_;
    next_code_point(rest_, behind);
    error("unexpected character '{}'", rest_.substr(at_, behind - at_));
  }

  void balance(char c, std::string& open) const {
    if (c == '{') open += '}';
    if (c == '(') open += ')';
    if (c == '[') open += ']';
    if (c != '}' && c != ')' && c != ']') return;
    if (open.empty()) error("unexpected '{}'", c);
    if (open.back() != c) error("unexpected '{}', expected '{}'", c, open.back());
    open.pop_back();
  }

  // Digits with single underscores between them, from `at`; returns where they end.
  size_t digits_end(size_t at) const {
    while (at < rest_.size() &&
           (is_digit_byte(rest_[at]) ||
            (rest_[at] == '_' && at + 1 < rest_.size() && is_digit_byte(rest_[at + 1]))))
      ++at;
    return at;
  }
  size_t exponent_end(size_t at) const {
    if (at >= rest_.size() || (rest_[at] != 'e' && rest_[at] != 'E')) return at;
    size_t digits = at + 1;
    if (digits < rest_.size() && (rest_[digits] == '+' || rest_[digits] == '-')) ++digits;
    if (digits >= rest_.size() || !is_digit_byte(rest_[digits])) return at;
    return digits_end(digits);
  }

  void number() {
    const size_t whole = digits_end(at_);
    size_t end = whole;
    const bool after_dot = at_ > 0 && rest_[at_ - 1] == '.';
    if (!after_dot) {
      if (end + 1 < rest_.size() && rest_[end] == '.' && is_digit_byte(rest_[end + 1]))
        end = digits_end(end + 1);
      end = exponent_end(end);
    }
    if (end > whole) {
      const auto text = rest_.substr(at_, end - at_);
      add(TokenKind::kNumber, text, Value(*parse_real(text)));
      advance(text.size());
    } else {
      integer(whole);
    }
  }

  void integer(size_t decimal_end) {
    size_t end = decimal_end;
    if (rest_[at_] == '0') {
      const size_t prefixed = prefixed_end();
      // A zero does not start a longer decimal number.
      end = prefixed > at_ ? prefixed : std::min(rest_.find_first_not_of("0_", at_), decimal_end);
      while (rest_[end - 1] == '_') --end;
    }
    const auto text = rest_.substr(at_, end - at_);
    add(TokenKind::kNumber, text, Value(*parse_integer(text, 0)));
    advance(text.size());
  }
  // The end of 0x1f, 0o17 or 0b11; the beginning where there is none.
  size_t prefixed_end() const {
    if (at_ + 2 >= rest_.size()) return at_;
    std::string_view alphabet;
    switch (rest_[at_ + 1]) {
      case 'x':
      case 'X':
        alphabet = "0123456789abcdefABCDEF";
        break;
      case 'o':
      case 'O':
        alphabet = "01234567";
        break;
      case 'b':
      case 'B':
        alphabet = "01";
        break;
      default:
        return at_;
    }
    const auto fits = [&](size_t at) {
      return at < rest_.size() && alphabet.find(rest_[at]) != std::string_view::npos;
    };
    size_t end = at_ + 2;
    while (fits(end) || (end < rest_.size() && rest_[end] == '_' && fits(end + 1))) ++end;
    return end > at_ + 2 ? end : at_;
  }

  void string(char quote) {
    size_t end = at_ + 1;
    while (end < rest_.size() && rest_[end] != quote) end += rest_[end] == '\\' ? 2 : 1;
    if (end >= rest_.size()) error("a string has no end");
    std::string problem;
    const auto text = unescape(rest_.substr(at_ + 1, end - at_ - 1), problem);
    if (!text) error("{}", problem);
    add(TokenKind::kString, "", Value(*text));
    advance(end + 1 - at_);
  }

  std::string source_;
  std::string_view rest_;
  std::string_view what_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::string Token::describe() const {
  switch (kind) {
    case TokenKind::kData:
      return "template text";
    case TokenKind::kVariableBegin:
      return "begin of print statement";
    case TokenKind::kVariableEnd:
      return "end of print statement";
    case TokenKind::kBlockBegin:
      return "begin of statement block";
    case TokenKind::kBlockEnd:
      return "end of statement block";
    case TokenKind::kString:
      return "string";
    case TokenKind::kEnd:
      return "end of template";
    case TokenKind::kName:
    case TokenKind::kNumber:
    case TokenKind::kOperator:
      return text;
  }
  return text;
}

std::vector<Token> tokenize(std::string_view source, std::string_view what) {
  return Lexer(source, what).run();
}

}  // namespace strake::jinja
