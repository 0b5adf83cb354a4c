// Where the Unicode versions differ of the libraries used here and of the `tokenizers` package:
//   patterns           PCRE2 14, the package 16
//   numbers, case      utf8proc 15, the package 17
//   punctuation        utf8proc 15, the package 8
//   marks, forms       utf8proc 15, the package 9
// Ids depend on it, so the package's view wins.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace strake::text {

enum class UnicodeChange {
  kNewPunctuation,    // not punctuation to the package
  kOldPunctuation,    // still punctuation to the package
  kNewMark,           // not a mark to the package
  kOldMark,           // still a mark to the package
  kNewNumber,         // a number to the package, perhaps not to the library
  kNewDecomposition,  // left whole by the package
};
bool is_change(char32_t code, UnicodeChange change);

// A character that the pattern engine knows, of the same category and UTF-8 size as one that is
// too new for it; `code` itself when it is not.
char32_t older_character(char32_t code);
// `text` with the older characters, in `buffer` if that makes a difference.
std::string_view older_text(std::string_view text, std::string& buffer);

// The lower case of a letter that is too new for the library.
std::optional<char32_t> newer_lowercase(char32_t code);

}  // namespace strake::text
