#include "text/tokenizer_unicode.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "base/files.h"
#include "base/json.h"
#include "text/tokenizer_regex.h"

namespace strake::text {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

std::string valid(std::string_view bytes) {
  std::string out;
  append_valid_utf8(out, bytes);
  return out;
}

void for_each_code_point(const std::function<void(char32_t, const std::string&)>& visit) {
  for (char32_t code = 0; code <= 0x10ffff; ++code) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    std::string text;
    append_utf8(text, code);
    visit(code, text);
  }
}

// The package's view of every code point (scripts/goldens/tokenizer_unicode.py).
Json golden() {
  const auto path = std::filesystem::path(STRAKE_TEST_DATA) / "text" / "tokenizer" / "unicode.json";
  return parse_json(read_text_file(path), path.string());
}

void expect_class(const Json& ranges, const std::function<bool(char32_t, std::string_view)>& holds,
                  const std::string& name) {
  size_t next = 0;
  int differences = 0;
  for_each_code_point([&](char32_t code, const std::string& text) {
    while (next < ranges.size() && ranges[next][1].get<char32_t>() < code) ++next;
    const bool expected = next < ranges.size() && ranges[next][0].get<char32_t>() <= code;
    if (holds(code, text) != expected && ++differences <= 10)
      ADD_FAILURE() << name << ": U+" << std::hex << static_cast<uint32_t>(code) << " expected "
                    << expected;
  });
  EXPECT_EQ(differences, 0) << name;
}

TEST(Unicode, EveryCodePointIsInTheClassesThatThePackageHasItIn) {
  const Json classes = golden();
  const auto expect = [&](const char* name, bool (*holds)(char32_t)) {
    expect_class(
        classes.at(name), [&](char32_t code, std::string_view) { return holds(code); }, name);
  };
  expect("numeric", is_numeric);
  expect("punctuation", is_punctuation);
  expect("whitespace", is_whitespace);
  expect("mark", is_mark);
  expect("Whitespace's word", is_word);
}

TEST(Unicode, EveryCodePointMatchesThePatternsThatItMatchesInThePackage) {
  std::map<std::string, std::string> patterns = {
      {"space", "\\s"},     {"word", "\\w"},     {"word in class", "[\\w]"}, {"digit", "\\d"},
      {"letter", "\\p{L}"}, {"Han", "\\p{Han}"}, {"punct", "[[:punct:]]"}};
  for (const char* category :
       {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps",
        "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf"})
    patterns[category] = std::string("\\p{") + category + "}";
  const Json classes = golden();
  for (const auto& [name, pattern] : patterns) {
    const Regex regex(pattern, Regex::Syntax::kOniguruma);
    Regex::Scanner scanner(regex);
    std::vector<Stretch> stretches;
    expect_class(
        classes.at(name),
        [&](char32_t, std::string_view text) {
          scanner.scan(text, stretches);
          return stretches[0].is_match;
        },
        name);
  }
}

TEST(Unicode, EveryCodePointHasTheFormsThatThePackageGivesIt) {
  const Json golden_forms = golden();
  const auto expect = [&](const char* name,
                          const std::function<std::string(std::string_view)>& map) {
    uint64_t hash = 0xcbf29ce484222325;
    for_each_code_point([&](char32_t, const std::string& text) {
      for (const char byte : map(text))
        hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
    });
    EXPECT_EQ(fmt::format("{:016x}", hash), golden_forms.at(name).get<std::string>()) << name;
  };
  expect("NFC", [](std::string_view text) { return to_normal_form(text, NormalForm::kNfc); });
  expect("NFD", [](std::string_view text) { return to_normal_form(text, NormalForm::kNfd); });
  expect("NFKC", [](std::string_view text) { return to_normal_form(text, NormalForm::kNfkc); });
  expect("NFKD", [](std::string_view text) { return to_normal_form(text, NormalForm::kNfkd); });
  expect("Lowercase", to_lowercase);
}

TEST(Unicode, EveryCodePointRoundTrips) {
  for_each_code_point([](char32_t code, const std::string& text) {
    const Utf8Prefix prefix = read_utf8(text);
    size_t at = 0;
    ASSERT_EQ(next_code_point(text, at), code);
    ASSERT_EQ(at, text.size());
    ASSERT_EQ(previous_code_point(text, at), code);
    ASSERT_EQ(at, 0u);
    ASSERT_TRUE(prefix.valid && prefix.size == text.size());
  });
}

// The largest broken part counts once, as the WHATWG and Unicode say (table 3-8).
TEST(Unicode, BrokenBytesBecomeReplacementCharacters) {
  const std::string one(kReplacement);
  EXPECT_EQ(valid("\x80"), one);
  EXPECT_EQ(valid("\xc0\xaf"), one + one);
  EXPECT_EQ(valid("\xe0\x80\xbf"), one + one + one);
  EXPECT_EQ(valid("\xed\xa0\x80"), one + one + one);
  EXPECT_EQ(valid("\xf4\x91\x92\x93"), one + one + one + one);
  EXPECT_EQ(valid("\xf0\x80\x80\x41"), one + one + one + "A");
  EXPECT_EQ(valid("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"), one + one + one + one + "A");
  EXPECT_EQ(valid("\xf0\x9f\x98"), one);
}

TEST(Unicode, PrefixesThatCanGoOn) {
  EXPECT_TRUE(read_utf8("\xf0\x9f\x98").can_go_on);
  EXPECT_TRUE(read_utf8("\xe4").can_go_on);
  EXPECT_FALSE(read_utf8("\xe0\x80").can_go_on);
  EXPECT_FALSE(read_utf8("\xff").can_go_on);
}

TEST(Unicode, NormalForms) {
  EXPECT_EQ(to_normal_form("e\xcc\x81", NormalForm::kNfc), "\xc3\xa9");
  EXPECT_EQ(to_normal_form("\xc3\xa9", NormalForm::kNfd), "e\xcc\x81");
  EXPECT_EQ(to_normal_form("\xef\xac\x81", NormalForm::kNfc), "\xef\xac\x81");
  EXPECT_EQ(to_normal_form("\xef\xac\x81", NormalForm::kNfkc), "fi");
  EXPECT_EQ(to_normal_form("\xea\xb0\x81", NormalForm::kNfd),
            "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8");
  EXPECT_EQ(to_normal_form("\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", NormalForm::kNfc),
            "\xea\xb0\x81");
  // Marks are put in order before they combine.
  EXPECT_EQ(to_normal_form("a\xcc\x81\xcc\xa3", NormalForm::kNfd), "a\xcc\xa3\xcc\x81");
  EXPECT_EQ(to_normal_form("a\xcc\x81\xcc\xa3", NormalForm::kNfc), "\xe1\xba\xa1\xcc\x81");
}

TEST(Unicode, LowerCase) {
  EXPECT_EQ(to_lowercase("\xc3\x84Z\xce\xa3"), "\xc3\xa4z\xcf\x83");
  EXPECT_EQ(to_lowercase("\xc4\xb0"), "i\xcc\x87");
}

}  // namespace
}  // namespace strake::text
