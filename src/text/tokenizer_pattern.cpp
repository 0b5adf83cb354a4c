#include "text/tokenizer_pattern.h"

#include <cctype>
#include <optional>
#include <vector>

#include "base/fail.h"
#include "text/tokenizer_regex.h"
#include "text/tokenizer_unicode.h"

namespace strake::text {
namespace {

// Members of a bracketed class. Hyphens that follow must stay literal, so none ends in a range.
constexpr std::string_view kSpace = R"(\p{White_Space})";
constexpr std::string_view kWordInClass = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
// On its own \w also covers Latin-1's superscript digits and fractions.
constexpr std::string_view kWord = R"(\xb2\xb3\xb9\xbc-\xbe\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view kHex = "0-9A-Fa-f";

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  std::string run() {
    while (at_ < in_.size()) step();
    return std::move(out_);
  }

 private:
  [[noreturn]] void unsupported(std::string_view construct) const {
    fail(ErrorKind::kUnsupported, "pattern '{}': {} at byte {} is not supported", in_, construct,
         at_);
  }

  bool next_is(std::string_view text) const { return in_.substr(at_).starts_with(text); }

  bool take(std::string_view text) {
    if (!next_is(text)) return false;
    at_ += text.size();
    return true;
  }

  char take_char(std::string_view construct) {
    if (at_ == in_.size()) unsupported(construct);
    return in_[at_++];
  }

  std::string_view take_until(char end, std::string_view construct) {
    const size_t stop = in_.find(end, at_);
    if (stop == in_.npos) unsupported(construct);
    const std::string_view taken = in_.substr(at_, stop - at_);
    at_ = stop + 1;
    return taken;
  }

  void step() {
    const char c = in_[at_];
    switch (c) {
      case '\\':
        return escape();
      case '[':
        return bracketed();
      case '(':
        return open_group();
      case ')':
        // A stray one is left to the engine to refuse.
        atom_ = groups_.empty() ? out_.size() : groups_.back();
        if (!groups_.empty()) groups_.pop_back();
        break;
      case '{':
        return interval();
      case '*':
      case '+':
      case '?':
      case '|':
        break;
      default:
        atom_ = out_.size();
    }
    copy(utf8_length(c));
  }

  void copy(size_t bytes) {
    out_ += in_.substr(at_, bytes);
    at_ += bytes;
  }

  void open_group() {
    if (next_is("(*")) unsupported("(*");
    groups_.push_back(out_.size());
    for (const std::string_view kind : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"})
      if (take(kind)) {
        out_ += kind;
        return;
      }
    if (take("(?<")) {
      out_ += "(?<";
      out_ += take_until('>', "(?<");
      out_ += '>';
      return;
    }
    if (take("(?")) return options();
    take("(");
    out_ += '(';
  }

  // (?i:...) and the like. Ruby's m is what others call s. Without a group the options last to the
  // end of the enclosing branch, which both engines only agree on at the very start.
  void options() {
    const bool at_start = at_ == 2;
    out_ += "(?";
    for (;;) {
      const char c = take_char("an option group");
      if (c == 'i' || c == '-') {
        out_ += c;
      } else if (c == 'm') {
        out_ += 's';
      } else if (c == ':') {
        out_ += c;
        return;
      } else if (c == ')' && at_start) {
        out_ += c;
        groups_.pop_back();
        return;
      } else {
        --at_;
        unsupported("this option group");
      }
    }
  }

  struct Interval {
    std::string text;  // "{2,5}"
    bool fixed;        // "{2}"
  };

  // {n} {n,} {n,m} {,m}; anything else is literal.
  std::optional<Interval> take_interval() {
    size_t at = at_ + 1;
    const auto digits = [&] {
      const size_t begin = at;
      while (at < in_.size() && std::isdigit(static_cast<unsigned char>(in_[at]))) ++at;
      return in_.substr(begin, at - begin);
    };
    const std::string_view low = digits();
    const bool comma = at < in_.size() && in_[at] == ',';
    if (comma) ++at;
    const std::string_view high = comma ? digits() : std::string_view();
    if (at == in_.size() || in_[at] != '}' || (low.empty() && high.empty())) return std::nullopt;
    at_ = at + 1;
    return Interval{fmt::format("{{{}{}{}}}", low.empty() ? "0" : low, comma ? "," : "", high),
                    !comma};
  }

  // After an interval '+' repeats it, and after a fixed one '?' makes it optional; to PCRE2 they
  // would mean "possessive" and "lazy".
  void interval() {
    const auto parsed = take_interval();
    if (!parsed) {
      atom_ = out_.size();
      out_ += "\\{";
      ++at_;
      return;
    }
    out_ += parsed->text;
    if (next_is("+") || (parsed->fixed && next_is("?"))) {
      out_.insert(atom_, "(?:");
      out_ += ")";
    }
  }

  void escape() {
    atom_ = out_.size();
    ++at_;
    const char c = take_char("a final backslash");
    switch (c) {
      case 's':
        out_ += kSpace;
        return;
      case 'S':
        out_ += R"(\P{White_Space})";
        return;
      case 'w':
        out_ += fmt::format("[{}]", kWord);
        return;
      case 'W':
        out_ += fmt::format("[^{}]", kWord);
        return;
      case 'b':
        out_ += fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", kWord);
        return;
      case 'B':
        out_ += fmt::format("(?:(?<=[{0}])(?=[{0}])|(?<![{0}])(?![{0}]))", kWord);
        return;
      case 'h':
        out_ += fmt::format("[{}]", kHex);
        return;
      case 'H':
        out_ += fmt::format("[^{}]", kHex);
        return;
      case 'A':
      case 'z':
      case 'Z':
      case 'R':
        out_ += '\\';
        out_ += c;
        return;
      case 'k':
        if (!take("<")) unsupported("\\k");
        out_ += fmt::format("\\k<{}>", take_until('>', "\\k<"));
        return;
      default:
        if (c >= '1' && c <= '9') {
          out_ += '\\';
          out_ += c;
          return;
        }
        shared_escape(c);
    }
  }

  // Escapes that mean the same inside and outside of a class.
  void shared_escape(char c) {
    if ((c & 0x80) != 0) {  // a character beyond ASCII stands for itself
      --at_;
      return copy(utf8_length(c));
    }
    switch (c) {
      case 'p':
      case 'P':
        return property(c);
      case 'v':
        out_ += "\\x0b";
        return;
      case 'x':
        if (take("{")) {
          out_ += fmt::format("\\x{{{}}}", take_until('}', "\\x{"));
          return;
        }
        return code_point(2);
      case 'u':
        return code_point(4);
      case 'd':
      case 'D':
      case 'n':
      case 'r':
      case 't':
      case 'f':
      case 'a':
      case 'e':
        break;
      default:
        if (std::isalnum(static_cast<unsigned char>(c))) {
          at_ -= 2;
          unsupported(fmt::format("\\{}", c));
        }
    }
    out_ += '\\';
    out_ += c;
  }

  // Up to `digits` hexadecimal digits. \x80 and above would be bytes, not code points.
  void code_point(size_t digits) {
    unsigned code = 0;
    size_t count = 0;
    for (;
         count < digits && at_ < in_.size() && std::isxdigit(static_cast<unsigned char>(in_[at_]));
         ++count, ++at_)
      code = code * 16 + static_cast<unsigned>(std::stoi(std::string(1, in_[at_]), nullptr, 16));
    if (count == 0 || (digits == 4 && count < 4) || (digits == 2 && code >= 0x80))
      unsupported("this code point");
    out_ += fmt::format("\\x{{{:x}}}", code);
  }

  // A bare script name means the script itself; PCRE2 would take the script's extensions.
  void property(char letter) {
    if (!take("{")) unsupported("a property without braces");
    std::string_view name = take_until('}', "\\p{");
    const bool negated = name.starts_with('^');
    if (negated) name.remove_prefix(1);
    const bool script = name.size() > 2 && is_pcre2_pattern(fmt::format("\\p{{sc:{}}}", name));
    out_ += fmt::format("\\{}{{{}{}}}", negated == (letter == 'P') ? 'p' : 'P', script ? "sc:" : "",
                        name);
  }

  void bracketed() {
    atom_ = out_.size();
    take("[");
    out_ += '[';
    if (take("^")) out_ += '^';
    if (take("]")) out_ += "\\]";
    while (!take("]")) {
      if (at_ == in_.size()) unsupported("a class without an end");
      if (next_is("&&")) unsupported("an intersection of classes");
      if (take("[:")) {
        posix_class();
      } else if (next_is("[")) {
        unsupported("a class within a class");
      } else if (take("\\")) {
        class_escape();
      } else {
        out_ += in_[at_++];
      }
    }
    out_ += ']';
  }

  void class_escape() {
    const char c = take_char("a final backslash");
    switch (c) {
      case 's':
        out_ += kSpace;
        return;
      case 'S':
        out_ += R"(\P{White_Space})";
        return;
      case 'w':
        out_ += kWordInClass;
        return;
      case 'h':
        out_ += kHex;
        return;
      case 'b':
        out_ += "\\x08";
        return;
      default:
        shared_escape(c);
    }
  }

  void posix_class() {
    const std::string_view name = take_until(':', "a POSIX class");
    if (!take("]")) unsupported("a POSIX class without an end");
    if (name == "alpha")
      out_ += R"(\p{Alphabetic})";
    else if (name == "digit")
      out_ += R"(\d)";
    else if (name == "alnum")
      out_ += R"(\p{Alphabetic}\d)";
    else if (name == "upper")
      out_ += R"(\p{Uppercase})";
    else if (name == "lower")
      out_ += R"(\p{Lowercase})";
    else if (name == "space")
      out_ += kSpace;
    else if (name == "punct")
      out_ += R"(\p{P}\p{S})";
    else if (name == "word")
      out_ += kWordInClass;
    else if (name == "xdigit")
      out_ += kHex;
    else
      unsupported(fmt::format("the POSIX class '{}'", name));
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;             // where in out_ the last thing that can be repeated starts
  std::vector<size_t> groups_;  // where in out_ each open group starts
};

}  // namespace

std::string to_pcre2_pattern(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace strake::text
