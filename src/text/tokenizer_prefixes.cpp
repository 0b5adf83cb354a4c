#include "text/tokenizer_prefixes.h"

#include <algorithm>

#include "base/fail.h"

namespace strake::text {
namespace {

// Bounds the work at one position of a text.
constexpr size_t kMaxBytes = 1024;

}  // namespace

PrefixSet::PrefixSet(std::vector<Entry> entries) : entries_(std::move(entries)) {
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.text < b.text; });
  for (size_t i = 0; i < entries_.size(); ++i) {
    const std::string& text = entries_[i].text;
    if (text.empty())
      fail(ErrorKind::kCheckpoint, "token {} is empty, it would match everywhere",
           entries_[i].value);
    if (text.size() > kMaxBytes)
      fail(ErrorKind::kCheckpoint, "token {}: {} bytes long, at most {} are supported",
           entries_[i].value, text.size(), kMaxBytes);
    if (i > 0 && entries_[i - 1].text == text)
      fail(ErrorKind::kCheckpoint, "tokens {} and {} are the same text '{}'", entries_[i - 1].value,
           entries_[i].value, text);
  }
  for (size_t byte = 0; byte < by_first_byte_.size(); ++byte)
    by_first_byte_[byte] = narrow({0, entries_.size()}, 0, static_cast<char>(byte));
}

PrefixSet::Range PrefixSet::narrow(Range range, size_t position, char byte) const {
  const auto wanted = static_cast<unsigned char>(byte);
  const auto byte_of = [position](const Entry& entry) {
    return static_cast<unsigned char>(entry.text[position]);
  };
  const auto first = entries_.begin() + static_cast<ptrdiff_t>(range.first);
  const auto last = entries_.begin() + static_cast<ptrdiff_t>(range.second);
  const auto low = std::partition_point(
      first, last, [&](const Entry& entry) { return byte_of(entry) < wanted; });
  const auto high =
      std::partition_point(low, last, [&](const Entry& entry) { return byte_of(entry) == wanted; });
  return {static_cast<size_t>(low - entries_.begin()),
          static_cast<size_t>(high - entries_.begin())};
}

std::optional<PrefixSet::Match> PrefixSet::longest(std::string_view text) const {
  std::optional<Match> last;
  each(text, [&](const Match& match) { last = match; });
  return last;
}

}  // namespace strake::text
