// Filters that make text.
#include <array>

#include "text/jinja/access.h"
#include "text/jinja/filters.h"
#include "text/jinja/format.h"
#include "text/jinja/print.h"
#include "text/jinja/runtime.h"
#include "text/jinja/text_parts.h"
#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

// A string as it is, other values printed.
Text soft(const Value& value) {
  if (const Text* text = value.text()) return *text;
  return *Value(print_str(value)).text();
}

template <std::string (*kMap)(std::string_view)>
Value mapped(Runtime&, const Value& value, const Arguments& arguments) {
  bind("filter", arguments, {});
  const Text text = soft(value);
  return Value(kMap(text.bytes), text.escaping);
}

// Each word, where a word begins behind white space or one of - ( { [ <.
Value title(Runtime&, const Value& value, const Arguments& arguments) {
  bind("title", arguments, {});
  const std::string text = print_str(value);
  std::string out;
  size_t begin = 0;
  const auto flush = [&](size_t end) {
    if (begin == end) return;
    size_t behind = begin;
    next_code_point(text, behind);
    out += to_upper(std::string_view(text).substr(begin, behind - begin));
    out += to_lower(std::string_view(text).substr(behind, end - behind));
  };
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    const char32_t c = next_code_point(text, at);
    if (!is_space(c) && std::u32string_view(U"-({[<").find(c) == std::u32string_view::npos)
      continue;
    flush(here);
    out += text.substr(here, at - here);
    begin = at;
  }
  flush(text.size());
  return Value(std::move(out));
}

Value string(Runtime&, const Value& value, const Arguments& arguments) {
  bind("string", arguments, {});
  return value.text() ? value : Value(print_str(value));
}

Value trim(Runtime&, const Value& value, const Arguments& arguments) {
  const auto bound = bind("trim", arguments, {"chars"});
  const Text text = soft(value);
  const bool space = bound[0].is_missing() || bound[0].is_none();
  const std::string_view stripped =
      space ? strip_space(text.bytes)
            : strip_any(text.bytes, text_argument("trim", bound[0]).bytes, Side::kBoth);
  return Value(std::string(stripped), text.escaping);
}

Value replace(Runtime&, const Value& value, const Arguments& arguments) {
  const auto bound = bind("replace", arguments, {"old", "new", "count"}, 2);
  const bool all = bound[2].is_missing() || bound[2].is_none();
  return Value(replace_text(print_str(value), print_str(bound[0]), print_str(bound[1]),
                            all ? -1 : integer_argument("replace", bound[2])));
}

Value indent(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const auto bound = bind("indent", arguments, {"width", "first", "blank"});
  const Text& text = text_argument("indent", value);
  TextBuilder indentation;
  if (const Text* given = bound[0].text())
    indentation.append(given->bytes);
  else
    indentation.repeat(" ", integer_argument("indent", bound[0], 4));
  const std::string margin = indentation.take();
  const auto flag = [&](const Value& option) {
    return !option.is_missing() && truth(runtime, option);
  };
  const std::string closed = text.bytes + "\n";
  const auto lines = split_lines(closed, LineEnds::kDropped);
  TextBuilder out;
  if (flag(bound[1])) out.append(margin);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n");
    if (i > 0 && (!lines[i].empty() || flag(bound[2]))) out.append(margin);
    out.append(lines[i]);
  }
  return Value(out.take(), text.escaping);
}

Value truncate(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const auto bound = bind("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const int64_t length = integer_argument("truncate", bound[0], 255);
  const std::string end = bound[2].is_missing() ? "..." : text_argument("truncate", bound[2]).bytes;
  const int64_t leeway = bound[3].is_none() ? 5 : integer_argument("truncate", bound[3], 5);
  const auto end_length = static_cast<int64_t>(count_code_points(end));
  if (length < end_length) raise("truncate: expected length >= {}, got {}", end_length, length);
  if (leeway < 0) raise("truncate: expected leeway >= 0, got {}", leeway);
  const auto size = length_of(runtime, value);
  if (size && *size - leeway <= length) return value;
  const Text& text = text_argument("truncate", value);
  const Value cut = get_slice(runtime, value, {None{}, Value(length - end_length), None{}});
  std::string_view kept = cut.text()->bytes;
  const bool whole_words = bound[1].is_missing() || !truth(runtime, bound[1]);
  if (whole_words) kept = split_at_from_end(kept, " ", 1).front();
  return Value(std::string(kept) + end, text.escaping);
}

Value word_count(Runtime&, const Value& value, const Arguments& arguments) {
  bind("wordcount", arguments, {});
  const std::string text = print_str(value);
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    const bool part = c == U'_' || is_alpha(c) || is_numeric(c);
    words += part && !inside;
    inside = part;
  }
  return Value(words);
}

Value center(Runtime&, const Value& value, const Arguments& arguments) {
  const auto bound = bind("center", arguments, {"width"});
  const Text text = soft(value);
  return Value(
      align(text.bytes, integer_argument("center", bound[0], 80), " ", Alignment::kMethodCenter),
      text.escaping);
}

Value format(Runtime& runtime, const Value& value, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty())
    raise("can't handle positional and keyword arguments at the same time");
  const Text pattern = soft(value);
  Value argument = Value::tuple(arguments.positional);
  if (!arguments.named.empty()) {
    auto dict = std::make_shared<Dict>();
    for (const auto& [name, item] : arguments.named) dict->set(name, item);
    argument = Value(std::shared_ptr<const Dict>(std::move(dict)));
  }
  return Value(format_percent(runtime, pattern, argument), pattern.escaping);
}

Value escape(Runtime&, const Value& value, const Arguments& arguments) {
  bind("escape", arguments, {});
  if (value.text() && value.text()->escaping == Escaping::kMarkup) return value;
  return Value(escape_html(print_str(value)), Escaping::kMarkup);
}

Value force_escape(Runtime&, const Value& value, const Arguments& arguments) {
  bind("forceescape", arguments, {});
  return Value(escape_html(print_str(value)), Escaping::kMarkup);
}

Value safe(Runtime&, const Value& value, const Arguments& arguments) {
  bind("safe", arguments, {});
  return Value(print_str(value), Escaping::kMarkup);
}

enum class UrlPart { kPath, kQuery };

std::string url_quoted(const Value& value, UrlPart part) {
  const std::string text = print_str(value);
  std::string out;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    const bool kept = std::string_view("_.-~").find(c) != std::string_view::npos;
    if (letter || kept || (c == '/' && part == UrlPart::kPath))
      out += c;
    else if (c == ' ' && part == UrlPart::kQuery)
      out += '+';
    else
      out += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  return out;
}

Value url_encode(Runtime& runtime, const Value& value, const Arguments& arguments) {
  bind("urlencode", arguments, {});
  const CursorRef elements = value.text() ? nullptr : try_iterate(runtime, value);
  if (!elements) return Value(url_quoted(value, UrlPart::kPath));
  const std::vector<Value> pairs = value.dict()
                                       ? DictView(value.shared_dict(), DictPart::kItems).elements()
                                       : drain(runtime, *elements);
  TextBuilder out;
  for (size_t i = 0; i < pairs.size(); ++i) {
    const std::vector<Value> pair = to_vector(runtime, pairs[i]);
    if (pair.size() != 2) raise("urlencode: pairs are expected");
    if (i > 0) out.append("&");
    out.append(url_quoted(pair[0], UrlPart::kQuery)).append("=");
    out.append(url_quoted(pair[1], UrlPart::kQuery));
  }
  return Value(out.take());
}

constexpr std::array<Filter, 17> kFilters{{
    {"upper", mapped<to_upper>},
    {"lower", mapped<to_lower>},
    {"capitalize", mapped<capitalize>},
    {"title", title},
    {"string", string},
    {"trim", trim},
    {"replace", replace},
    {"indent", indent},
    {"truncate", truncate},
    {"wordcount", word_count},
    {"center", center},
    {"format", format},
    {"e", escape},
    {"escape", escape},
    {"forceescape", force_escape},
    {"safe", safe},
    {"urlencode", url_encode},
}};

}  // namespace

std::span<const Filter> text_filters() { return kFilters; }

}  // namespace strake::jinja
