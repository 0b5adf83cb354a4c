#include "text/jinja/text_parts.h"

#include <algorithm>

#include "text/jinja/unicode.h"

namespace strake::jinja {
namespace {

template <class Predicate>
std::string_view strip_if(std::string_view text, Side side, Predicate strips) {
  size_t begin = 0;
  size_t end = text.size();
  while (side != Side::kRight && begin < end) {
    size_t next = begin;
    if (!strips(next_code_point(text, next))) break;
    begin = next;
  }
  while (side != Side::kLeft && begin < end) {
    size_t previous = end;
    if (!strips(previous_code_point(text, previous))) break;
    end = previous;
  }
  return text.substr(begin, end - begin);
}

// Length of the text in front of the first white space.
size_t word_length(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (is_space(next_code_point(text, at))) return begin;
  }
  return text.size();
}

size_t last_word_begin(std::string_view text) {
  for (size_t at = text.size(); at > 0;) {
    const size_t end = at;
    if (is_space(previous_code_point(text, at))) return end;
  }
  return 0;
}

}  // namespace

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator,
                                       int64_t most) {
  std::vector<std::string_view> parts;
  for (size_t at; most > 0 && (at = text.find(separator)) != std::string_view::npos; --most) {
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + separator.size());
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> split_at_from_end(std::string_view text, std::string_view separator,
                                                int64_t most) {
  std::vector<std::string_view> parts;
  for (size_t at; most > 0 && (at = text.rfind(separator)) != std::string_view::npos; --most) {
    parts.push_back(text.substr(at + separator.size()));
    text = text.substr(0, at);
  }
  parts.push_back(text);
  std::ranges::reverse(parts);
  return parts;
}

std::vector<std::string_view> split_at_space(std::string_view text, int64_t most) {
  std::vector<std::string_view> parts;
  text = strip_space(text, Side::kLeft);
  for (; !text.empty() && most > 0; --most) {
    const size_t length = word_length(text);
    parts.push_back(text.substr(0, length));
    text = strip_space(text.substr(length), Side::kLeft);
  }
  if (!text.empty()) parts.push_back(text);
  return parts;
}

std::vector<std::string_view> split_at_space_from_end(std::string_view text, int64_t most) {
  std::vector<std::string_view> parts;
  text = strip_space(text, Side::kRight);
  for (; !text.empty() && most > 0; --most) {
    const size_t begin = last_word_begin(text);
    parts.push_back(text.substr(begin));
    text = strip_space(text.substr(0, begin), Side::kRight);
  }
  if (!text.empty()) parts.push_back(text);
  std::ranges::reverse(parts);
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, LineEnds ends) {
  std::vector<std::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at;
    const char32_t c = next_code_point(text, at);
    if (!is_line_break(c)) continue;
    if (c == U'\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(begin, (ends == LineEnds::kKept ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string_view strip_space(std::string_view text, Side side) {
  return strip_if(text, side, is_space);
}

std::string_view strip_any(std::string_view text, std::string_view set, Side side) {
  const std::u32string points = decode_utf8(set);
  return strip_if(text, side, [&](char32_t c) { return points.find(c) != std::u32string::npos; });
}

bool all_upper(std::string_view text) {
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (is_lower(c)) return false;
    any |= is_upper(c);
  }
  return any;
}

bool all_lower(std::string_view text) {
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (is_upper(c)) return false;
    any |= is_lower(c);
  }
  return any;
}

}  // namespace strake::jinja
