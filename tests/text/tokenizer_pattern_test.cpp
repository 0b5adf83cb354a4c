#include "text/tokenizer_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "strake/base/error.h"
#include "text/tokenizer_regex.h"

namespace strake::text {
namespace {

// The matches of `pattern`, each in brackets, in place.
std::string marked(std::string_view pattern, std::string_view text,
                   Regex::Syntax syntax = Regex::Syntax::kOniguruma) {
  const Regex regex(pattern, syntax);
  std::vector<Stretch> stretches;
  Regex::Scanner(regex).scan(text, stretches);
  std::string out;
  for (const auto& [begin, end, is_match] : stretches) {
    const std::string part(text.substr(begin, end - begin));
    out += is_match ? "[" + part + "]" : part;
  }
  return out;
}

TEST(Pattern, TakenOverAsItIs) {
  for (const char* pattern :
       {"a|b", "(?:a)(?=b)(?!c)(?<=d)(?<!e)(?>f)", "a*?b+?c??", "a++b*+c?+", "a{2,3}?", "x{2}",
        "(?<name>a)\\k<name>", "(a)\\1", "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+", "\\A\\z\\Z.", "(?i:'s)",
        "[a\\-z\\]]", "\\d\\D\\t"})
    EXPECT_EQ(to_pcre2_pattern(pattern), pattern);
}

TEST(Pattern, WhereTheSyntaxDiffers) {
  EXPECT_EQ(marked("\\h+", "xyzAF09 \t"), "xyz[AF09] \t");
  EXPECT_EQ(marked("[\\h-]+", "xa-f "), "x[a-f] ");
  EXPECT_EQ(marked("a{,2}b", "aaab b"), "a[aab] [b]");
  EXPECT_EQ(marked("\\d{1,3}+", "12345 1"), "[12345] [1]");  // repeated, not possessive
  EXPECT_EQ(marked("(?:ab){2}?", "ababa"), "[abab]a[]");     // optional, not lazy
  EXPECT_EQ(marked("[ab]{2}+c", "ababc"), "[ababc]");
  EXPECT_EQ(marked("x\xc3\xa9{2}+", "x\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"),
            "[x\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9]");
  EXPECT_EQ(marked("\\\xc3\xa9+", "\xc3\xa9\xc3\xa9"), "[\xc3\xa9\xc3\xa9]");
  EXPECT_EQ(marked("(?m:a.b)", "a\nb"), "[a\nb]");
  EXPECT_EQ(marked("(?i)A(?-i:b)", "abaB"), "[ab]aB");
  EXPECT_EQ(marked("^.", "ab\ncd"), "[a]b\n[c]d");
  EXPECT_EQ(marked("\\u4e2d\\x41",
                   "\xe4\xb8\xad"
                   "A"),
            "[\xe4\xb8\xad"
            "A]");
  EXPECT_EQ(marked("\\v", "a\x0b\n"), "a[\x0b]\n");
  EXPECT_EQ(marked("{a}", "{a}"), "[{a}]");
  EXPECT_EQ(marked("[[:punct:]]", "a$\xe2\x82\xac"), "a[$][\xe2\x82\xac]");
  EXPECT_EQ(marked("[]a]+", "]a["), "[]a][");
}

TEST(Pattern, WhereTheClassesDiffer) {
  EXPECT_EQ(marked("\\s", "\xe1\xa0\x8e \xc2\x85"), "\xe1\xa0\x8e[ ][\xc2\x85]");  // not U+180E
  EXPECT_EQ(marked("[^\\S]", "\xe1\xa0\x8e "), "\xe1\xa0\x8e[ ]");
  EXPECT_EQ(marked("\\w+", "e\xcc\x81\xe2\x80\xbf\xc2\xb2-"), "[e\xcc\x81\xe2\x80\xbf\xc2\xb2]-");
  EXPECT_EQ(marked("[\\w]", "\xc2\xb2 a"), "\xc2\xb2 [a]");  // in a class without Latin-1's digits
  EXPECT_EQ(marked("\\W", "e\xcc\x81-"), "e\xcc\x81[-]");
  EXPECT_EQ(marked("\\be\xcc\x81\\b", "e\xcc\x81 e\xcc\x81x"), "[e\xcc\x81] e\xcc\x81x");
  EXPECT_EQ(marked("\\Bb", "ab b"), "a[b] b");
  EXPECT_EQ(marked("\\p{Han}", "\xe4\xb8\xad\xe3\x80\x81"), "[\xe4\xb8\xad]\xe3\x80\x81");
  EXPECT_EQ(marked("\\p{^L}\\P{^L}", "1a"), "[1a]");
}

TEST(Pattern, EmptyMatches) {
  EXPECT_EQ(marked("x*", "axb"), "[]a[x]b[]");
  EXPECT_EQ(marked("", "\xc3\xa9"), "[]\xc3\xa9[]");
  EXPECT_EQ(marked("a", ""), "");
}

TEST(Pattern, LiteralsHaveNoSyntax) {
  EXPECT_EQ(marked(".*", "a.*", Regex::Syntax::kLiteral), "a[.*]");
}

TEST(Pattern, MatchesFarApart) {
  const std::string gap(100'000, '.');
  EXPECT_EQ(marked("x", gap + "x" + gap), gap + "[x]" + gap);
  std::string wide;
  for (int i = 0; i < 1000; ++i) wide += "\xf0\x9f\x98\x80";
  EXPECT_EQ(marked("x", wide + "x"), wide + "[x]");
}

TEST(Pattern, RefusedWithItsPlace) {
  for (const char* pattern : {"[a[b]]",
                              "[a&&b]",
                              "[\\W]",
                              "a(?i)b",
                              "(?x:a)",
                              "(*FAIL)",
                              "\\X",
                              "\\K",
                              "\\G",
                              "\\N",
                              "\\xff",
                              "\\u12",
                              "[[:graph:]]",
                              "\\p",
                              "(?",
                              "[a",
                              "\\",
                              "(?#",
                              "\\p{NoSuchThing}",
                              "(",
                              ")",
                              "*",
                              "a**",
                              "(?<=a+)b",
                              "a{3,1}",
                              "[z-a]",
                              "\\2"})
    try {
      const Regex regex(pattern, Regex::Syntax::kOniguruma);
      ADD_FAILURE() << pattern << " was compiled";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
      EXPECT_THAT(error.what(), testing::HasSubstr(pattern));
      EXPECT_THAT(error.what(), testing::HasSubstr("at byte"));
    }
}

TEST(Pattern, HugePatternsAreRefused) {
  EXPECT_THROW(Regex(std::string(100'000, '('), Regex::Syntax::kOniguruma), Error);
  EXPECT_THROW(Regex(std::string(1 << 20, 'a'), Regex::Syntax::kOniguruma), Error);
  EXPECT_THROW(Regex("(((a{1000}){1000}){1000}){1000}", Regex::Syntax::kOniguruma), Error);
}

// Exponential, and quadratic over a long text: an error, soon.
TEST(Pattern, BacktrackingIsBounded) {
  EXPECT_THROW(marked("(a+)+$", std::string(64, 'a') + "b"), Error);
  EXPECT_THROW(marked("(a|aa)+$", std::string(64, 'a') + "b"), Error);
  EXPECT_THROW(marked("(?=a*c)|.", std::string(3'000'000, 'a')), Error);
}

}  // namespace
}  // namespace strake::text
