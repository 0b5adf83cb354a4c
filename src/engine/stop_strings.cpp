#include "engine/stop_strings.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/fail.h"

namespace strake {
namespace {

using Strings = std::vector<std::string>;

// The length of the first string that `text` ends with, else 0.
size_t complete_at_end(const Strings& strings, std::string_view text) {
  for (const std::string& string : strings)
    if (text.ends_with(string)) return string.size();
  return 0;
}

// The length of the longest end of `text` that begins a string.
size_t begun_at_end(const Strings& strings, std::string_view text) {
  const size_t longest = strings.empty() ? 0 : strings.front().size();
  for (size_t length = std::min(longest, text.size()); length > 0; --length)
    for (const std::string& string : strings)
      if (string.starts_with(text.substr(text.size() - length))) return length;
  return 0;
}

}  // namespace

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  for (const std::string& string : strings_)
    if (string.empty()) fail(ErrorKind::kUsage, "stop: a text expected, found an empty one");
  std::ranges::sort(strings_, std::ranges::greater(), &std::string::size);
}

std::string StopStrings::push(std::string_view piece) {
  if (found_) return {};
  std::string text = std::exchange(held_, {});
  const size_t seen = text.size();
  text += piece;
  for (size_t end = seen + 1; end <= text.size(); ++end)
    if (const size_t length = complete_at_end(strings_, std::string_view(text).substr(0, end))) {
      found_ = true;
      return text.substr(0, end - length);
    }
  const size_t sure = text.size() - begun_at_end(strings_, text);
  held_ = text.substr(sure);
  text.resize(sure);
  return text;
}

std::string StopStrings::finish() { return std::exchange(held_, {}); }

}  // namespace strake
