// Strings that end a text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace strake {

// Looks for stop strings in a text that comes in pieces. The one that is complete first ends the
// text and is no part of it; of those that are complete together, the longest.
class StopStrings {
 public:
  // Throws Error(kUsage) on an empty string.
  explicit StopStrings(std::vector<std::string> strings);

  // Takes the next piece. Returns what is known to stay of the text since the last call: an end
  // that may begin a stop string is held back, and nothing comes after one.
  std::string push(std::string_view piece);
  bool found() const { return found_; }
  // What was held back. Call once, after the last piece.
  std::string finish();

 private:
  std::vector<std::string> strings_;  // the longest first
  std::string held_;                  // the longest end of the text that begins one of them
  bool found_ = false;
};

}  // namespace strake
