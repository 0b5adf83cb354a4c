#include "text/jinja/print.h"

#include <charconv>
#include <cmath>

#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

std::string in_quotes(std::string_view text) {
  const bool single = text.find('\'') == std::string::npos || text.find('"') != std::string::npos;
  const char32_t quote = single ? U'\'' : U'"';
  std::string out;
  append_utf8(out, quote);
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (c == quote || c == U'\\') {
      out += '\\';
      append_utf8(out, c);
    } else if (c == U'\n') {
      out += "\\n";
    } else if (c == U'\r') {
      out += "\\r";
    } else if (c == U'\t') {
      out += "\\t";
    } else if (c >= 0x20 && c < 0x7F) {
      append_utf8(out, c);
    } else if (c >= 0x7F && is_printable(c)) {
      append_utf8(out, c);
    } else {
      const auto code = static_cast<uint32_t>(c);
      out += c < 0x100     ? fmt::format("\\x{:02x}", code)
             : c < 0x10000 ? fmt::format("\\u{:04x}", code)
                           : fmt::format("\\U{:08x}", code);
    }
  }
  append_utf8(out, quote);
  return out;
}

void print_items(TextBuilder& out, const List& list, int depth) {
  const bool is_list = list.kind == ListKind::kList;
  out.append(is_list ? "[" : "(");
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.append(", ");
    out.append(print_repr(list.items[i], depth + 1));
  }
  if (!is_list && list.items.size() == 1) out.append(",");
  out.append(is_list ? "]" : ")");
}

void print_entries(TextBuilder& out, const Dict& dict, int depth) {
  out.append("{");
  for (size_t i = 0; i < dict.entries().size(); ++i) {
    if (i > 0) out.append(", ");
    out.append(print_repr(dict.entries()[i].first, depth + 1));
    out.append(": ").append(print_repr(dict.entries()[i].second, depth + 1));
  }
  out.append("}");
}

}  // namespace

std::string print_str(const Value& value) {
  if (const Text* text = value.text()) return text->bytes;
  if (value.is_undefined()) return "";
  return print_repr(value);
}

std::string print_repr(const Value& value, int depth) {
  if (depth > kMaxDepth) raise("values are nested deeper than {} levels", kMaxDepth);
  if (value.is_none()) return "None";
  if (const bool* flag = value.boolean()) return *flag ? "True" : "False";
  if (const int64_t* number = value.integer()) return std::to_string(*number);
  if (const double* number = value.real()) return print_float(*number);
  if (const Text* text = value.text())
    return text->escaping == Escaping::kMarkup ? "Markup(" + in_quotes(text->bytes) + ")"
                                               : in_quotes(text->bytes);
  TextBuilder out;
  if (const List* list = value.list()) {
    print_items(out, *list, depth);
    return out.take();
  }
  if (const Dict* dict = value.dict()) {
    print_entries(out, *dict, depth);
    return out.take();
  }
  if (const Object* object = value.object()) return object->print(depth);
  return "Undefined";
}

std::string print_float(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  const double size = std::abs(number);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  char buffer[40];
  const auto result =
      std::to_chars(std::begin(buffer), std::end(buffer), number,
                    plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string out(buffer, result.ptr);
  if (plain && out.find('.') == std::string::npos) out += ".0";
  return out;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace strake::jinja
