// Text as code points: the unit in which templates index, slice, strip and change case.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace strake::jinja {

// True for well-formed UTF-8, which excludes surrogates.
bool valid_utf8(std::string_view text);

size_t count_code_points(std::string_view text);

// The code point that starts at `position`, which moves behind it. `text` is valid UTF-8.
char32_t next_code_point(std::string_view text, size_t& position);
// The code point that ends before `position`, which moves in front of it.
char32_t previous_code_point(std::string_view text, size_t& position);

void append_utf8(std::string& out, char32_t code_point);
std::u32string decode_utf8(std::string_view text);
std::string encode_utf8(std::u32string_view text);

bool is_space(char32_t c);
bool is_line_break(char32_t c);
bool is_alpha(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_printable(char32_t c);
bool is_identifier_part(char32_t c);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
// Lower case for comparisons: sharp s is two.
std::string fold_case(std::string_view text);
// The first code point in title case, the others in lower case.
std::string capitalize(std::string_view text);
// Every run of letters capitalized.
std::string to_title(std::string_view text);
std::string swap_case(std::string_view text);

}  // namespace strake::jinja
