// String methods that make new text.
#include <array>

#include "text/jinja/access.h"
#include "text/jinja/format.h"
#include "text/jinja/methods.h"
#include "text/jinja/print.h"
#include "text/jinja/runtime.h"
#include "text/jinja/text_parts.h"
#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

Value like(const Value& self, std::string text) {
  return Value(std::move(text), self.text()->escaping);
}
Value like(const Value& self, std::string_view text) { return like(self, std::string(text)); }

// What joins markup is escaped, unless it is markup itself.
std::string joined_to(const Value& self, const Text& other) {
  const bool escape =
      self.text()->escaping == Escaping::kMarkup && other.escaping == Escaping::kPlain;
  return escape ? escape_html(other.bytes) : other.bytes;
}

template <std::string (*kMap)(std::string_view)>
Value mapped(Runtime&, const Value& self, const Arguments& arguments) {
  bind("method", arguments, {});
  return like(self, kMap(self.text()->bytes));
}

template <Side kSide>
Value stripped(Runtime&, const Value& self, const Arguments& arguments) {
  const auto bound = bind("strip", arguments, {"chars"});
  const std::string_view text = self.text()->bytes;
  if (bound[0].is_missing() || bound[0].is_none()) return like(self, strip_space(text, kSide));
  return like(self, strip_any(text, text_argument("strip", bound[0]).bytes, kSide));
}

Value replace(Runtime&, const Value& self, const Arguments& arguments) {
  const auto bound = bind("replace", arguments, {"old", "new", "count"}, 2);
  const std::string with = joined_to(self, text_argument("replace", bound[1]));
  return like(self, replace_text(self.text()->bytes, text_argument("replace", bound[0]).bytes, with,
                                 integer_argument("replace", bound[2], -1)));
}

Value remove_prefix(Runtime&, const Value& self, const Arguments& arguments) {
  const auto bound = bind("removeprefix", arguments, {"prefix"}, 1);
  std::string_view text = self.text()->bytes;
  const std::string& prefix = text_argument("removeprefix", bound[0]).bytes;
  if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  return like(self, text);
}

Value remove_suffix(Runtime&, const Value& self, const Arguments& arguments) {
  const auto bound = bind("removesuffix", arguments, {"suffix"}, 1);
  std::string_view text = self.text()->bytes;
  const std::string& suffix = text_argument("removesuffix", bound[0]).bytes;
  if (text.ends_with(suffix)) text.remove_suffix(suffix.size());
  return like(self, text);
}

Value zero_fill(Runtime&, const Value& self, const Arguments& arguments) {
  const auto bound = bind("zfill", arguments, {"width"}, 1);
  std::string_view text = self.text()->bytes;
  const int64_t missing =
      integer_argument("zfill", bound[0]) - static_cast<int64_t>(self.text()->length);
  const size_t sign = text.starts_with('+') || text.starts_with('-') ? 1 : 0;
  TextBuilder out;
  out.append(text.substr(0, sign)).repeat("0", missing).append(text.substr(sign));
  return like(self, out.take());
}

Value aligned(std::string_view function, const Value& self, const Arguments& arguments,
              Alignment alignment) {
  const auto bound = bind(function, arguments, {"width", "fillchar"}, 1);
  std::string fill = " ";
  if (!bound[1].is_missing()) {
    const Text& given = text_argument(function, bound[1]);
    fill = joined_to(self, given);
    if (count_code_points(fill) != 1)
      raise("{}(): the fill character must be exactly one character long", function);
  }
  return like(self,
              align(self.text()->bytes, integer_argument(function, bound[0]), fill, alignment));
}
Value center(Runtime&, const Value& self, const Arguments& arguments) {
  return aligned("center", self, arguments, Alignment::kMethodCenter);
}
Value left(Runtime&, const Value& self, const Arguments& arguments) {
  return aligned("ljust", self, arguments, Alignment::kLeft);
}
Value right(Runtime&, const Value& self, const Arguments& arguments) {
  return aligned("rjust", self, arguments, Alignment::kRight);
}

Value join(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("join", arguments, {"iterable"}, 1);
  const CursorRef cursor = iterate(runtime, bound[0]);
  const bool markup = self.text()->escaping == Escaping::kMarkup;
  TextBuilder out;
  int64_t index = 0;
  for (Value item; cursor->next(runtime, item); ++index) {
    if (index > 0) out.append(self.text()->bytes);
    if (item.text())
      out.append(joined_to(self, *item.text()));
    else if (markup)
      out.append(escape_html(print_str(item)));
    else
      raise("sequence item {}: expected str instance, {} found", index, item.type_name());
  }
  return like(self, out.take());
}

Value expand_tabs(Runtime&, const Value& self, const Arguments& arguments) {
  const auto bound = bind("expandtabs", arguments, {"tabsize"});
  const int64_t size = integer_argument("expandtabs", bound[0], 8);
  TextBuilder out;
  int64_t column = 0;
  for (const char c : self.text()->bytes) {
    if (c == '\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      out.repeat(" ", spaces);
      column += spaces;
    } else {
      out.append({&c, 1});
      const bool starts = (static_cast<unsigned char>(c) & 0xC0) != 0x80;
      column = c == '\n' || c == '\r' ? 0 : column + (starts ? 1 : 0);
    }
  }
  return like(self, out.take());
}

Value format(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return like(self, format_braces(runtime, *self.text(), arguments));
}

Value format_map(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("format_map", arguments, {"mapping"}, 1);
  if (!bound[0].dict())
    raise("format_map(): a mapping is expected, not '{}'", bound[0].type_name());
  Arguments named;
  for (const auto& [key, value] : bound[0].dict()->entries())
    if (key.text()) named.named.emplace_back(key.text()->bytes, value);
  return like(self, format_braces(runtime, *self.text(), named));
}

constexpr std::array<Method, 20> kMethods{{
    {"upper", mapped<to_upper>},
    {"lower", mapped<to_lower>},
    {"casefold", mapped<fold_case>},
    {"capitalize", mapped<capitalize>},
    {"title", mapped<to_title>},
    {"swapcase", mapped<swap_case>},
    {"strip", stripped<Side::kBoth>},
    {"lstrip", stripped<Side::kLeft>},
    {"rstrip", stripped<Side::kRight>},
    {"replace", replace},
    {"removeprefix", remove_prefix},
    {"removesuffix", remove_suffix},
    {"zfill", zero_fill},
    {"center", center},
    {"ljust", left},
    {"rjust", right},
    {"join", join},
    {"expandtabs", expand_tabs},
    {"format", format},
    {"format_map", format_map},
}};

}  // namespace

std::span<const Method> text_making_methods() { return kMethods; }

}  // namespace strake::jinja
