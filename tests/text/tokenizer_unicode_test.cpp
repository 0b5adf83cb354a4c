#include "text/tokenizer_unicode.h"

#include <gtest/gtest.h>

#include <string>

namespace strake::text {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

std::string valid(std::string_view bytes) {
  std::string out;
  append_valid_utf8(out, bytes);
  return out;
}

TEST(Unicode, EveryCodePointRoundTrips) {
  for (char32_t code = 0; code <= 0x10ffff; ++code) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    std::string text;
    append_utf8(text, code);
    const Utf8Prefix prefix = read_utf8(text);
    size_t at = 0;
    ASSERT_EQ(next_code_point(text, at), code);
    ASSERT_EQ(at, text.size());
    ASSERT_EQ(previous_code_point(text, at), code);
    ASSERT_EQ(at, 0u);
    ASSERT_TRUE(prefix.valid && prefix.size == text.size());
  }
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
