#include "text/jinja/unicode.h"

#include <utf8proc.h>

#include <array>
#include <cstdlib>
#include <memory>

namespace strake::jinja {
namespace {

// Code points whose upper case is longer than one, Greek with iota subscript left out.
struct LongUpper {
  char32_t code_point;
  std::u32string_view upper;
};
constexpr std::array<LongUpper, 22> kLongUpper{{
    {U'\u00df', U"SS"},           {U'\u0149', U"\u02bcN"},
    {U'\u01f0', U"J\u030c"},      {U'\u0587', U"\u0535\u0552"},
    {U'\u1e96', U"H\u0331"},      {U'\u1e97', U"T\u0308"},
    {U'\u1e98', U"W\u030a"},      {U'\u1e99', U"Y\u030a"},
    {U'\u1e9a', U"A\u02be"},      {U'\u0390', U"\u0399\u0308\u0301"},
    {U'\ufb00', U"FF"},           {U'\ufb01', U"FI"},
    {U'\ufb02', U"FL"},           {U'\ufb03', U"FFI"},
    {U'\ufb04', U"FFL"},          {U'\ufb05', U"ST"},
    {U'\ufb06', U"ST"},           {U'\ufb13', U"\u0544\u0546"},
    {U'\ufb14', U"\u0544\u0535"}, {U'\ufb15', U"\u0544\u053b"},
    {U'\ufb16', U"\u054e\u0546"}, {U'\ufb17', U"\u0544\u053d"},
}};

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}
char32_t simple_lower(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}
bool is_cased(char32_t c) {
  return is_upper(c) || is_lower(c) || category(c) == UTF8PROC_CATEGORY_LT;
}

void append_upper(std::string& out, char32_t c) {
  for (const LongUpper& entry : kLongUpper) {
    if (entry.code_point != c) continue;
    out += encode_utf8(entry.upper);
    return;
  }
  append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
}

void append_title(std::string& out, char32_t c) {
  for (const LongUpper& entry : kLongUpper) {
    if (entry.code_point != c) continue;
    append_utf8(out, entry.upper[0]);
    for (const char32_t rest : entry.upper.substr(1)) append_utf8(out, simple_lower(rest));
    return;
  }
  append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
}

// Sigma is written differently at the end of a word; capital I with a dot becomes two code points.
void append_lower(std::string& out, const std::u32string& text, size_t at) {
  const char32_t c = text[at];
  if (c == U'\u03a3') {
    const bool starts = at == 0 || !is_cased(text[at - 1]);
    const bool continues = at + 1 < text.size() && is_cased(text[at + 1]);
    append_utf8(out, !starts && !continues ? U'\u03c2' : U'\u03c3');
  } else if (c == U'\u0130') {
    out += "i\u0307";
  } else {
    append_utf8(out, simple_lower(c));
  }
}

}  // namespace

bool valid_utf8(std::string_view text) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (size_t at = 0; at < text.size();) {
    utf8proc_int32_t code_point;
    const auto size =
        utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(text.size() - at), &code_point);
    if (size <= 0) return false;
    at += static_cast<size_t>(size);
  }
  return true;
}

size_t count_code_points(std::string_view text) {
  size_t count = 0;
  for (const char byte : text) count += (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
  return count;
}

char32_t next_code_point(std::string_view text, size_t& position) {
  const auto first = static_cast<unsigned char>(text[position++]);
  if (first < 0x80) return first;
  const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
  char32_t code_point = first & (0x3F >> more);
  for (int i = 0; i < more; ++i)
    code_point = code_point << 6 | (static_cast<unsigned char>(text[position++]) & 0x3F);
  return code_point;
}

char32_t previous_code_point(std::string_view text, size_t& position) {
  do --position;
  while ((static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
  size_t end = position;
  return next_code_point(text, end);
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::u32string decode_utf8(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) out += next_code_point(text, at);
  return out;
}

std::string encode_utf8(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) append_utf8(out, c);
  return out;
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_line_break(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool is_alpha(char32_t c) {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_digit(char32_t c) {
  const bool superscript = c == 0xB2 || c == 0xB3 || c == 0xB9 || (c >= 0x2070 && c <= 0x2089);
  const bool circled = (c >= 0x2460 && c <= 0x2468) || c == 0x24EA;
  return is_decimal(c) || ((superscript || circled) && category(c) == UTF8PROC_CATEGORY_NO);
}

bool is_numeric(char32_t c) {
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}

bool is_upper(char32_t c) { return utf8proc_isupper(static_cast<utf8proc_int32_t>(c)) != 0; }
bool is_lower(char32_t c) { return utf8proc_islower(static_cast<utf8proc_int32_t>(c)) != 0; }

bool is_printable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return c == U' ';
    default:
      return true;
  }
}

bool is_identifier_part(char32_t c) {
  if (c < 0x80) return c == U'_' || is_alpha(c) || is_decimal(c);
  const auto kind = category(c);
  return is_alpha(c) || kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL ||
         kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_MC ||
         kind == UTF8PROC_CATEGORY_PC;
}

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) append_upper(out, next_code_point(text, at));
  return out;
}

std::string to_lower(std::string_view text) {
  const std::u32string points = decode_utf8(text);
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < points.size(); ++i) append_lower(out, points, i);
  return out;
}

std::string fold_case(std::string_view text) {
  utf8proc_uint8_t* folded = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &folded, UTF8PROC_CASEFOLD);
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(folded, &std::free);
  return size < 0 ? std::string(text)
                  : std::string(reinterpret_cast<const char*>(folded), static_cast<size_t>(size));
}

std::string capitalize(std::string_view text) {
  const std::u32string points = decode_utf8(text);
  std::string out;
  for (size_t i = 0; i < points.size(); ++i)
    i == 0 ? append_title(out, points[i]) : append_lower(out, points, i);
  return out;
}

std::string to_title(std::string_view text) {
  const std::u32string points = decode_utf8(text);
  std::string out;
  for (size_t i = 0; i < points.size(); ++i)
    i > 0 && is_cased(points[i - 1]) ? append_lower(out, points, i) : append_title(out, points[i]);
  return out;
}

std::string swap_case(std::string_view text) {
  const std::u32string points = decode_utf8(text);
  std::string out;
  for (size_t i = 0; i < points.size(); ++i)
    is_upper(points[i]) ? append_lower(out, points, i) : append_upper(out, points[i]);
  return out;
}

}  // namespace strake::jinja
