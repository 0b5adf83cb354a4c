#include "text/tokenizer_unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cctype>
#include <vector>

#include "base/fail.h"
#include "text/tokenizer_unicode_versions.h"

namespace strake::text {
namespace {

constexpr char32_t kReplacement = 0xfffd;

bool is_category(char32_t code, utf8proc_category_t first, utf8proc_category_t last) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return category >= first && category <= last;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

int combining_class(utf8proc_int32_t code) {
  if (is_change(static_cast<char32_t>(code), UnicodeChange::kNewMark)) return 0;
  return utf8proc_get_property(code)->combining_class;
}

// Canonical order: marks between two starters by combining class. The library's own ordering is
// quadratic in the length of such a run.
void order_marks(std::vector<utf8proc_int32_t>& codes) {
  for (auto begin = codes.begin(); begin != codes.end();) {
    if (combining_class(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end =
        std::find_if(begin, codes.end(), [](auto code) { return combining_class(code) == 0; });
    std::stable_sort(begin, end,
                     [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

}  // namespace

char32_t next_code_point(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const size_t size = utf8_length(text[at]);
  char32_t code = byte(0);
  if (size == 2) code = (byte(0) & 0x1fu) << 6 | (byte(1) & 0x3fu);
  if (size == 3) code = (byte(0) & 0x0fu) << 12 | (byte(1) & 0x3fu) << 6 | (byte(2) & 0x3fu);
  if (size == 4)
    code = (byte(0) & 0x07u) << 18 | (byte(1) & 0x3fu) << 12 | (byte(2) & 0x3fu) << 6 |
           (byte(3) & 0x3fu);
  at += size;
  return code;
}

char32_t previous_code_point(std::string_view text, size_t& end) {
  do --end;
  while ((text[end] & 0xc0) == 0x80);
  size_t at = end;
  return next_code_point(text, at);
}

void append_utf8(std::string& out, char32_t code) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

Utf8Prefix read_utf8(std::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {1, true, false};
  if (lead < 0xc2 || lead > 0xf4) return {1, false, false};
  const size_t size = utf8_length(bytes[0]);
  // The second byte's range excludes overlong forms, surrogates and codes above U+10FFFF.
  const unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  for (size_t i = 1; i < size; ++i) {
    if (i == bytes.size()) return {i, false, true};
    if (byte(i) < (i == 1 ? low : 0x80) || byte(i) > (i == 1 ? high : 0xbf))
      return {i, false, false};
  }
  return {size, true, false};
}

void append_valid_utf8(std::string& out, std::string_view bytes) {
  while (!bytes.empty()) {
    const Utf8Prefix prefix = read_utf8(bytes);
    if (prefix.valid)
      out.append(bytes.substr(0, prefix.size));
    else
      append_utf8(out, kReplacement);
    bytes.remove_prefix(prefix.size);
  }
}

bool is_whitespace(char32_t code) {
  return (code >= 0x09 && code <= 0x0d) || code == 0x20 || code == 0x85 || code == 0xa0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 ||
         code == 0x202f || code == 0x205f || code == 0x3000;
}

bool is_numeric(char32_t code) {
  return is_category(code, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO) ||
         is_change(code, UnicodeChange::kNewNumber);
}

bool is_punctuation(char32_t code) {
  if (code < 0x80) return code > 0x20 && code < 0x7f && std::isalnum(static_cast<int>(code)) == 0;
  return is_category(code, UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO)
             ? !is_change(code, UnicodeChange::kNewPunctuation)
             : is_change(code, UnicodeChange::kOldPunctuation);
}

bool is_mark(char32_t code) {
  return is_category(code, UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME)
             ? !is_change(code, UnicodeChange::kNewMark)
             : is_change(code, UnicodeChange::kOldMark);
}

bool is_word(char32_t code) {
  code = older_character(code);
  const bool letter_or_mark = is_category(code, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_NL);
  const bool circled_letter =
      (code >= 0x24b6 && code <= 0x24e9) || (code >= 0x1f130 && code <= 0x1f149) ||
      (code >= 0x1f150 && code <= 0x1f169) || (code >= 0x1f170 && code <= 0x1f189);
  const bool joiner = code == 0x200c || code == 0x200d;
  return letter_or_mark || circled_letter || joiner ||
         is_category(code, UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PC);
}

std::string to_normal_form(std::string_view text, NormalForm form) {
  if (is_ascii(text)) return std::string(text);
  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const bool compatible = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  const auto decompose = static_cast<utf8proc_option_t>(
      UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : UTF8PROC_STABLE));

  std::vector<utf8proc_int32_t> codes;
  codes.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const char32_t whole = next_code_point(text, at);
    const auto code = static_cast<utf8proc_int32_t>(whole);
    if (is_change(whole, UnicodeChange::kNewDecomposition)) {
      codes.push_back(code);
      continue;
    }
    constexpr size_t kLongestDecomposition = 18;  // of U+FDFA
    const size_t size = codes.size();
    codes.resize(size + kLongestDecomposition);
    int boundary = 0;
    const auto count = utf8proc_decompose_char(code, codes.data() + size, kLongestDecomposition,
                                               decompose, &boundary);
    if (count < 0)
      fail(ErrorKind::kInternal, "decomposition of U+{:04X}: {}", code, utf8proc_errmsg(count));
    codes.resize(size + static_cast<size_t>(count));
  }
  order_marks(codes);
  if (compose) {
    const auto count = utf8proc_normalize_utf32(
        codes.data(), static_cast<utf8proc_ssize_t>(codes.size()),
        static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    if (count < 0) fail(ErrorKind::kInternal, "composition: {}", utf8proc_errmsg(count));
    codes.resize(static_cast<size_t>(count));
  }
  std::string out;
  out.reserve(text.size());
  for (const auto code : codes) append_utf8(out, static_cast<char32_t>(code));
  return out;
}

std::string to_lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const char32_t code = next_code_point(text, at);
    const auto newer = newer_lowercase(code);
    append_utf8(
        out, newer ? *newer
                   : static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))));
    if (code == 0x130) append_utf8(out, 0x307);  // I with dot above keeps its dot
  }
  return out;
}

}  // namespace strake::text
