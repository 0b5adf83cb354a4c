// A set of strings that is asked which of them start a text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace strake::text {

class PrefixSet {
 public:
  struct Entry {
    std::string text;
    int32_t value;
  };
  struct Match {
    size_t size;
    int32_t value;
  };

  // Throws Error(kCheckpoint) on an empty, an overlong (above 1024 bytes) or a repeated text.
  explicit PrefixSet(std::vector<Entry> entries);

  // Calls visit(Match) for each entry that starts `text`, shortest first.
  template <class Visit>
  void each(std::string_view text, Visit&& visit) const {
    if (text.empty()) return;
    auto [begin, end] = by_first_byte_[static_cast<unsigned char>(text[0])];
    for (size_t size = 1; begin < end; ++size) {
      // All entries in [begin, end) share the first `size` bytes with the text.
      if (entries_[begin].text.size() == size) {
        visit(Match{size, entries_[begin].value});
        ++begin;
      }
      if (size == text.size()) return;
      std::tie(begin, end) = narrow({begin, end}, size, text[size]);
    }
  }

  std::optional<Match> longest(std::string_view text) const;

 private:
  using Range = std::pair<size_t, size_t>;
  // The entries of `range` whose byte at `position` is `byte`.
  Range narrow(Range range, size_t position, char byte) const;

  std::vector<Entry> entries_;  // sorted as unsigned bytes
  std::array<Range, 256> by_first_byte_;
};

}  // namespace strake::text
