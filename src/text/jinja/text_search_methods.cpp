// String methods that find, split and test.
#include <algorithm>
#include <array>

#include "text/jinja/access.h"
#include "text/jinja/methods.h"
#include "text/jinja/runtime.h"
#include "text/jinja/text_parts.h"
#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

// The bytes between two code point positions, which follow the rules of slices.
struct Window {
  std::string_view bytes;
  int64_t start;  // code points in front of it; -1 when the bounds exclude even an empty match
};

size_t byte_of(const Text& text, int64_t code_point) {
  if (text.ascii()) return static_cast<size_t>(code_point);
  size_t at = 0;
  for (int64_t i = 0; i < code_point; ++i) next_code_point(text.bytes, at);
  return at;
}

Window window(std::string_view function, const Text& text, const Value& from, const Value& to) {
  const auto size = static_cast<int64_t>(text.length);
  const auto at = [&](const Value& value, int64_t absent) {
    if (value.is_none()) return absent;
    const int64_t index = integer_argument(function, value, absent);
    return index < 0 ? std::max(index + size, int64_t{0}) : index;
  };
  const int64_t start = at(from, 0);
  const int64_t stop = std::min(at(to, size), size);
  if (start > stop) return {"", -1};
  const size_t begin = byte_of(text, start);
  return {std::string_view(text.bytes).substr(begin, byte_of(text, stop) - begin), start};
}

enum class Direction { kForward, kBackward };

int64_t locate(std::string_view function, const Value& self, const Arguments& arguments,
               Direction direction) {
  const auto bound = bind(function, arguments, {"sub", "start", "end"}, 1);
  const Text& part = text_argument(function, bound[0]);
  const Window in = window(function, *self.text(), bound[1], bound[2]);
  if (in.start < 0) return -1;
  const size_t at =
      direction == Direction::kForward ? in.bytes.find(part.bytes) : in.bytes.rfind(part.bytes);
  if (at == std::string_view::npos) return -1;
  return in.start + static_cast<int64_t>(count_code_points(in.bytes.substr(0, at)));
}

Value found(std::string_view function, int64_t at) {
  if (at < 0) raise("{}(): substring not found", function);
  return Value(at);
}

Value find(Runtime&, const Value& self, const Arguments& arguments) {
  return Value(locate("find", self, arguments, Direction::kForward));
}
Value rfind(Runtime&, const Value& self, const Arguments& arguments) {
  return Value(locate("rfind", self, arguments, Direction::kBackward));
}
Value index(Runtime&, const Value& self, const Arguments& arguments) {
  return found("index", locate("index", self, arguments, Direction::kForward));
}
Value rindex(Runtime&, const Value& self, const Arguments& arguments) {
  return found("rindex", locate("rindex", self, arguments, Direction::kBackward));
}

Value count(Runtime&, const Value& self, const Arguments& arguments) {
  const auto bound = bind("count", arguments, {"sub", "start", "end"}, 1);
  const Text& part = text_argument("count", bound[0]);
  const Window in = window("count", *self.text(), bound[1], bound[2]);
  if (in.start < 0) return Value(int64_t{0});
  if (part.bytes.empty()) return Value(static_cast<int64_t>(count_code_points(in.bytes) + 1));
  int64_t total = 0;
  for (size_t at = 0; (at = in.bytes.find(part.bytes, at)) != std::string_view::npos;
       at += part.bytes.size())
    ++total;
  return Value(total);
}

using Affix = bool (*)(std::string_view text, std::string_view part);

Value has_affix(std::string_view function, const Value& self, const Arguments& arguments,
                Affix affix) {
  const auto bound = bind(function, arguments, {"affix", "start", "end"}, 1);
  const Window in = window(function, *self.text(), bound[1], bound[2]);
  const auto matches = [&](const Value& part) {
    return affix(in.bytes, text_argument(function, part).bytes) && in.start >= 0;
  };
  if (const List* parts = bound[0].list(); parts && parts->kind != ListKind::kList)
    return Value(std::ranges::any_of(parts->items, matches));
  return Value(matches(bound[0]));
}

Value starts_with(Runtime&, const Value& self, const Arguments& arguments) {
  return has_affix("startswith", self, arguments, [](std::string_view text, std::string_view part) {
    return text.starts_with(part);
  });
}
Value ends_with(Runtime&, const Value& self, const Arguments& arguments) {
  return has_affix("endswith", self, arguments, [](std::string_view text, std::string_view part) {
    return text.ends_with(part);
  });
}

Value pieces(const Value& self, const std::vector<std::string_view>& parts) {
  std::vector<Value> items;
  for (const auto part : parts) items.emplace_back(std::string(part), self.text()->escaping);
  return Value::list(std::move(items));
}

struct SplitArguments {
  const Text* separator;  // null: runs of white space
  int64_t most;           // cuts
};

SplitArguments split_arguments(std::string_view function, const std::vector<Value>& bound) {
  const int64_t most = integer_argument(function, bound[1], -1);
  SplitArguments result{nullptr, most < 0 ? kMaxTextBytes : most};
  if (bound[0].is_missing() || bound[0].is_none()) return result;
  result.separator = &text_argument(function, bound[0]);
  if (result.separator->bytes.empty()) raise("{}(): empty separator", function);
  return result;
}

Value split(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("split", arguments, {"sep", "maxsplit"});
  const auto [separator, most] = split_arguments("split", bound);
  const auto parts = separator ? split_at(self.text()->bytes, separator->bytes, most)
                               : split_at_space(self.text()->bytes, most);
  runtime.budget.allocate(static_cast<int64_t>(self.text()->bytes.size()));
  return pieces(self, parts);
}

Value rsplit(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("rsplit", arguments, {"sep", "maxsplit"});
  const auto [separator, most] = split_arguments("rsplit", bound);
  const auto parts = separator ? split_at_from_end(self.text()->bytes, separator->bytes, most)
                               : split_at_space_from_end(self.text()->bytes, most);
  runtime.budget.allocate(static_cast<int64_t>(self.text()->bytes.size()));
  return pieces(self, parts);
}

Value splitlines(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const auto bound = bind("splitlines", arguments, {"keepends"});
  const bool keep = !bound[0].is_missing() && truth(runtime, bound[0]);
  return pieces(self, split_lines(self.text()->bytes, keep ? LineEnds::kKept : LineEnds::kDropped));
}

Value parts(const Value& self, std::string_view before, std::string_view at,
            std::string_view after) {
  const Escaping escaping = self.text()->escaping;
  return Value::tuple({Value(std::string(before), escaping), Value(std::string(at), escaping),
                       Value(std::string(after), escaping)});
}

const Text& separator_of(std::string_view function, const Arguments& arguments,
                         std::vector<Value>& bound) {
  bound = bind(function, arguments, {"sep"}, 1);
  const Text& separator = text_argument(function, bound[0]);
  if (separator.bytes.empty()) raise("{}(): empty separator", function);
  return separator;
}

Value partition(Runtime&, const Value& self, const Arguments& arguments) {
  std::vector<Value> bound;
  const std::string& separator = separator_of("partition", arguments, bound).bytes;
  const std::string_view text = self.text()->bytes;
  const size_t at = text.find(separator);
  if (at == std::string_view::npos) return parts(self, text, "", "");
  return parts(self, text.substr(0, at), separator, text.substr(at + separator.size()));
}

Value rpartition(Runtime&, const Value& self, const Arguments& arguments) {
  std::vector<Value> bound;
  const std::string& separator = separator_of("rpartition", arguments, bound).bytes;
  const std::string_view text = self.text()->bytes;
  const size_t at = text.rfind(separator);
  if (at == std::string_view::npos) return parts(self, "", "", text);
  return parts(self, text.substr(0, at), separator, text.substr(at + separator.size()));
}

// Every code point passes, and there is one.
template <bool (*kPredicate)(char32_t)>
Value all_are(Runtime&, const Value& self, const Arguments& arguments) {
  bind("is...", arguments, {});
  const std::string_view text = self.text()->bytes;
  for (size_t at = 0; at < text.size();)
    if (!kPredicate(next_code_point(text, at))) return Value(false);
  return Value(!text.empty());
}

bool is_alphanumeric(char32_t c) { return is_alpha(c) || is_numeric(c); }

Value is_upper_text(Runtime&, const Value& self, const Arguments& arguments) {
  bind("isupper", arguments, {});
  return Value(all_upper(self.text()->bytes));
}
Value is_lower_text(Runtime&, const Value& self, const Arguments& arguments) {
  bind("islower", arguments, {});
  return Value(all_lower(self.text()->bytes));
}
Value is_title_text(Runtime&, const Value& self, const Arguments& arguments) {
  bind("istitle", arguments, {});
  const std::string_view text = self.text()->bytes;
  bool any = false;
  bool after_letter = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (is_upper(c) ? after_letter : is_lower(c) && !after_letter) return Value(false);
    after_letter = is_upper(c) || is_lower(c);
    any |= after_letter;
  }
  return Value(any);
}
Value is_ascii(Runtime&, const Value& self, const Arguments& arguments) {
  bind("isascii", arguments, {});
  return Value(self.text()->ascii());
}
Value is_printable_text(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return Value(self.text()->length == 0 ||
               *all_are<is_printable>(runtime, self, arguments).boolean());
}
Value is_identifier(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const std::string_view text = self.text()->bytes;
  size_t at = 0;
  return Value(*all_are<is_identifier_part>(runtime, self, arguments).boolean() &&
               !is_decimal(next_code_point(text, at)));
}

constexpr std::array<Method, 24> kMethods{{
    {"find", find},
    {"rfind", rfind},
    {"index", index},
    {"rindex", rindex},
    {"count", count},
    {"startswith", starts_with},
    {"endswith", ends_with},
    {"split", split},
    {"rsplit", rsplit},
    {"splitlines", splitlines},
    {"partition", partition},
    {"rpartition", rpartition},
    {"isalnum", all_are<is_alphanumeric>},
    {"isalpha", all_are<is_alpha>},
    {"isdecimal", all_are<is_decimal>},
    {"isdigit", all_are<is_digit>},
    {"isnumeric", all_are<is_numeric>},
    {"isspace", all_are<is_space>},
    {"isupper", is_upper_text},
    {"islower", is_lower_text},
    {"istitle", is_title_text},
    {"isascii", is_ascii},
    {"isprintable", is_printable_text},
    {"isidentifier", is_identifier},
}};

}  // namespace

std::span<const Method> text_search_methods() { return kMethods; }

}  // namespace strake::jinja
