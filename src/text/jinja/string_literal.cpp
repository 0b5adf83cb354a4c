#include "text/jinja/string_literal.h"

#include <charconv>

#include "base/fail.h"
#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

// Code points past ASCII as escapes: a backslash in front of one escapes the escape's own.
std::string ascii_form(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const auto c = static_cast<uint32_t>(next_code_point(text, at));
    if (c < 0x80)
      out += static_cast<char>(c);
    else
      out += c < 0x100     ? fmt::format("\\x{:02x}", c)
             : c < 0x10000 ? fmt::format("\\u{:04x}", c)
                           : fmt::format("\\U{:08x}", c);
  }
  return out;
}

// The escapes of one character.
std::optional<char> short_escape(char c) {
  switch (c) {
    case '\\':
    case '\'':
    case '"':
      return c;
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    default:
      return std::nullopt;
  }
}

size_t hex_digits(char c) { return c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0; }

}  // namespace

std::optional<std::string> unescape(std::string_view literal, std::string& problem) {
  const std::string text = ascii_form(literal);
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (text[at] != '\\') {
      out += text[at++];
      continue;
    }
    // The lexer ends a literal at an unescaped quote only, so something follows.
    const char c = text[at + 1];
    if (c == '\n') {
      at += 2;
    } else if (const auto replaced = short_escape(c)) {
      out += *replaced;
      at += 2;
    } else if (c >= '0' && c <= '7') {
      size_t end = at + 1;
      uint32_t code = 0;
      while (end < text.size() && end < at + 4 && text[end] >= '0' && text[end] <= '7')
        code = code * 8 + static_cast<uint32_t>(text[end++] - '0');
      append_utf8(out, code);
      at = end;
    } else if (const size_t digits = hex_digits(c)) {
      const char* begin = text.data() + at + 2;
      const char* end = begin + std::min(digits, text.size() - at - 2);
      uint32_t code = 0;
      if (std::from_chars(begin, end, code, 16).ptr != begin + digits) {
        problem = fmt::format("truncated \\{} escape", c);
        return std::nullopt;
      }
      if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
        problem = fmt::format("the escape \\{}{:x} is no code point of UTF-8", c, code);
        return std::nullopt;
      }
      append_utf8(out, code);
      at += 2 + digits;
    } else if (c == 'N') {
      problem = "\\N escapes are not supported";
      return std::nullopt;
    } else {
      out += '\\';
      ++at;
    }
  }
  return out;
}

}  // namespace strake::jinja
