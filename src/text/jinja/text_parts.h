// Cutting and stripping text, by Python's rules.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace strake::jinja {

// At most `most` cuts, counted from the front or from the end. The separator is not empty.
std::vector<std::string_view> split_at(std::string_view text, std::string_view separator,
                                       int64_t most);
std::vector<std::string_view> split_at_from_end(std::string_view text, std::string_view separator,
                                                int64_t most);
// At runs of white space, without empty parts.
std::vector<std::string_view> split_at_space(std::string_view text, int64_t most);
std::vector<std::string_view> split_at_space_from_end(std::string_view text, int64_t most);

enum class LineEnds { kDropped, kKept };
std::vector<std::string_view> split_lines(std::string_view text, LineEnds ends);

enum class Side { kLeft, kRight, kBoth };
std::string_view strip_space(std::string_view text, Side side = Side::kBoth);
// Strips the code points of `set`.
std::string_view strip_any(std::string_view text, std::string_view set, Side side);

// There is a letter with case, and all of them have this one.
bool all_upper(std::string_view text);
bool all_lower(std::string_view text);

}  // namespace strake::jinja
