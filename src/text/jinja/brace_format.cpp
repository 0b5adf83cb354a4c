// The pattern of str.format().
#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja/access.h"
#include "text/jinja/format.h"
#include "text/jinja/print.h"
#include "text/jinja/runtime.h"
#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

std::optional<Alignment> alignment_of(char c) {
  switch (c) {
    case '<':
      return Alignment::kLeft;
    case '>':
      return Alignment::kRight;
    case '^':
      return Alignment::kCenter;
    case '=':
      return Alignment::kAfterSign;
    default:
      return std::nullopt;
  }
}

enum class Subject { kText, kNumber };

FormatSpec parse_spec(std::string_view text, Subject subject) {
  FormatSpec spec;
  spec.alignment = subject == Subject::kText ? Alignment::kLeft : Alignment::kRight;
  size_t at = 0;
  const auto take_if = [&](std::string_view set) {
    return at < text.size() && set.find(text[at]) != std::string_view::npos ? text[at++] : '\0';
  };
  size_t behind_first = 0;
  if (!text.empty()) next_code_point(text, behind_first);
  bool aligned = true;
  if (behind_first < text.size() && alignment_of(text[behind_first])) {
    spec.fill = text.substr(0, behind_first);
    spec.alignment = *alignment_of(text[behind_first]);
    at = behind_first + 1;
  } else if (!text.empty() && alignment_of(text[0])) {
    spec.alignment = *alignment_of(text[at++]);
  } else {
    aligned = false;
  }
  if (const char sign = take_if("+- ")) spec.sign = sign;
  spec.alternate = take_if("#") != '\0';
  if (at < text.size() && text[at] == '0' && !aligned) {
    spec.fill = "0";
    if (subject == Subject::kNumber) spec.alignment = Alignment::kAfterSign;
  }
  spec.width = read_count(text, at);
  spec.grouping = take_if(",_");
  if (take_if(".")) {
    const size_t begin = at;
    spec.precision = static_cast<int>(read_count(text, at));
    if (at == begin) raise("format specifier is missing its precision");
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) raise("invalid format specifier '{}'", text);
  return spec;
}

std::string formatted(const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) return print_str(value);
  if (const auto integer = value.as_integer())
    return format_integer(*integer, parse_spec(spec_text, Subject::kNumber));
  if (const double* real = value.real()) {
    const FormatSpec spec = parse_spec(spec_text, Subject::kNumber);
    if (spec.type != '\0' || spec.precision >= 0) return format_real(*real, spec);
    const std::string digits = print_float(std::abs(*real));
    FormatSpec as_text = spec;
    if (std::signbit(*real) || spec.sign == '-') {
      const std::string sign = std::signbit(*real) ? "-" : "";
      if (spec.alignment != Alignment::kAfterSign) return format_text(sign + digits, as_text);
      as_text.width -= static_cast<int64_t>(sign.size());
      return sign + format_text(digits, as_text);
    }
    return format_text(std::string(1, spec.sign) + digits, as_text);
  }
  if (const Text* text = value.text()) {
    const FormatSpec spec = parse_spec(spec_text, Subject::kText);
    const bool fits = spec.sign == '-' && spec.grouping == '\0' && !spec.alternate &&
                      spec.alignment != Alignment::kAfterSign;
    if (!fits || (spec.type != '\0' && spec.type != 's'))
      raise("invalid format specifier '{}' for object of type 'str'", spec_text);
    return format_text(text->bytes, spec);
  }
  raise("unsupported format string passed to {}.__format__", value.type_name());
}

// One rendering of a "{}" pattern.
class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const Arguments& arguments, Escaping escaping)
      : runtime_(runtime), arguments_(arguments), escaping_(escaping) {}

  std::string format(std::string_view pattern, int depth = 0) {
    if (depth > 1) raise("format specifiers are nested too deep");
    TextBuilder out;
    for (size_t at = 0; at < pattern.size();) {
      const size_t brace = std::min(pattern.find_first_of("{}", at), pattern.size());
      out.append(pattern.substr(at, brace - at));
      at = brace;
      if (at == pattern.size()) break;
      if (at + 1 < pattern.size() && pattern[at + 1] == pattern[at]) {
        out.append(pattern.substr(at, 1));
        at += 2;
      } else if (pattern[at] == '}') {
        raise("single '}}' encountered in format string");
      } else {
        const size_t end = closing(pattern, at);
        out.append(field(pattern.substr(at + 1, end - at - 1), depth));
        at = end + 1;
      }
    }
    return out.take();
  }

 private:
  static size_t closing(std::string_view pattern, size_t open) {
    int level = 0;
    for (size_t at = open; at < pattern.size(); ++at) {
      if (pattern[at] == '{') ++level;
      if (pattern[at] == '}' && --level == 0) return at;
    }
    raise("expected '}}' before end of string");
  }

  std::string field(std::string_view text, int depth) {
    const size_t name_end = std::min(text.find_first_of(":!"), text.size());
    Value value = look_up(text.substr(0, name_end));
    text.remove_prefix(name_end);
    if (text.starts_with('!')) {
      if (text.size() < 2 || (text.size() > 2 && text[2] != ':'))
        raise("expected ':' after conversion specifier");
      if (text[1] == 'r')
        value = Value(print_repr(value));
      else if (text[1] == 's')
        value = Value(print_str(value));
      else
        raise("unknown conversion specifier '{}'", text[1]);
      text.remove_prefix(2);
    }
    const std::string spec = text.empty() ? "" : format(text.substr(1), depth + 1);
    const std::string out = formatted(value, spec);
    const bool safe = value.text() && value.text()->escaping == Escaping::kMarkup;
    return escaping_ == Escaping::kMarkup && !safe ? escape_html(out) : out;
  }

  // name(.attribute | [key])*
  Value look_up(std::string_view path) {
    const size_t end = std::min(path.find_first_of(".["), path.size());
    Value value = first(path.substr(0, end));
    path.remove_prefix(end);
    while (!path.empty()) {
      const bool attribute = path[0] == '.';
      const size_t stop =
          attribute ? std::min(path.find_first_of(".[", 1), path.size()) : path.find(']');
      if (stop == std::string_view::npos || stop == 1) raise("empty attribute in format string");
      const std::string_view name = path.substr(1, stop - 1);
      if (attribute) {
        value = get_attribute(runtime_, value, name);
        path.remove_prefix(stop);
      } else {
        const auto number = index(name);
        value = get_item(runtime_, value, number ? Value(*number) : Value(name));
        path.remove_prefix(stop + 1);
        if (!path.empty() && path[0] != '.' && path[0] != '[')
          raise("only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  static std::optional<int64_t> index(std::string_view name) {
    int64_t number = 0;
    const auto result = std::from_chars(name.data(), name.data() + name.size(), number);
    const bool all = result.ec == std::errc() && result.ptr == name.data() + name.size();
    return all && !name.starts_with('-') ? std::optional(number) : std::nullopt;
  }

  Value first(std::string_view name) {
    auto number = index(name);
    if (name.empty() || number) {
      const Numbering numbering = name.empty() ? Numbering::kAutomatic : Numbering::kManual;
      if (numbering_ != Numbering::kUnknown && numbering_ != numbering)
        raise("cannot switch between automatic and manual field numbering");
      numbering_ = numbering;
      const int64_t at = name.empty() ? automatic_++ : *number;
      if (at >= static_cast<int64_t>(arguments_.positional.size()))
        raise("replacement index {} is out of range for the positional arguments", at);
      return arguments_.positional[static_cast<size_t>(at)];
    }
    if (const Value* value = arguments_.find(name)) return *value;
    raise("format(): there is no argument '{}'", name);
  }

  enum class Numbering { kUnknown, kAutomatic, kManual };
  Runtime& runtime_;
  const Arguments& arguments_;
  Escaping escaping_;
  Numbering numbering_ = Numbering::kUnknown;
  int64_t automatic_ = 0;
};

}  // namespace

std::string format_braces(Runtime& runtime, const Text& pattern, const Arguments& arguments) {
  return BraceFormatter(runtime, arguments, pattern.escaping).format(pattern.bytes);
}

}  // namespace strake::jinja
