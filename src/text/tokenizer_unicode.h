// Code points, UTF-8 and the character classes that tokenizers are defined by.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace strake::text {

// Takes the code point at `at` of valid UTF-8 and moves `at` behind it.
char32_t next_code_point(std::string_view text, size_t& at);
// Takes the code point that ends at `end` (> 0) of valid UTF-8 and moves `end` before it.
char32_t previous_code_point(std::string_view text, size_t& end);
void append_utf8(std::string& out, char32_t code);

// Bytes of the code point that starts with `lead`, in valid UTF-8.
constexpr size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

// How the start of a byte string reads as UTF-8.
struct Utf8Prefix {
  size_t size;     // bytes of the code point, or of the broken sequence
  bool valid;      // a whole code point
  bool can_go_on;  // broken only by the end of the string: more bytes could complete it
};
Utf8Prefix read_utf8(std::string_view bytes);  // bytes: not empty

// Appends `bytes`, each maximal broken sequence as one U+FFFD.
void append_valid_utf8(std::string& out, std::string_view bytes);

bool is_whitespace(char32_t code);   // Unicode's White_Space
bool is_numeric(char32_t code);      // general category N
bool is_punctuation(char32_t code);  // general category P, and ASCII's symbols
bool is_mark(char32_t code);         // general category M
bool is_word(char32_t code);         // what \w is to a regular expression: letters, digits, ...

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
std::string to_normal_form(std::string_view text, NormalForm form);
std::string to_lowercase(std::string_view text);

}  // namespace strake::text
