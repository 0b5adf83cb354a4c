#include "engine/stop_strings.h"

#include <gmock/gmock.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "strake/base/error.h"

namespace strake {
namespace {

using Strings = std::vector<std::string>;

TEST(StopStrings, TextsEqualMlxLm) {
  std::ifstream file(STRAKE_TEST_DATA "/engine/stop_strings.jsonl");
  int found = 0;
  int cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    const Json golden = parse_json(line, "stop_strings.jsonl");
    StopStrings stop(golden.at("stop").get<Strings>());
    std::string text;
    Json taken;
    int count = 0;
    for (const Json& piece : golden.at("pieces")) {
      text += stop.push(piece.get<std::string>());
      ++count;
      if (stop.found() && taken.is_null()) taken = count;
    }
    text += stop.finish();
    EXPECT_EQ(text, golden.at("text").get<std::string>()) << line;
    EXPECT_EQ(taken, golden.at("taken")) << line;
    found += stop.found();
  }
  EXPECT_GT(found, 50);
  EXPECT_GT(cases - found, 50);
}

// What each piece returns, then what finish() does.
Strings parts(const Strings& stop, const Strings& pieces) {
  StopStrings strings(stop);
  Strings result;
  for (const std::string& piece : pieces) result.push_back(strings.push(piece));
  result.push_back(strings.finish());
  return result;
}

TEST(StopStrings, OnlyWhatMayBeginAStringIsHeldBack) {
  EXPECT_EQ(parts({"END"}, {"a E", "N", "D b"}), (Strings{"a ", "", "", ""}));
  EXPECT_EQ(parts({"END"}, {"a E", "N", "d b"}), (Strings{"a ", "", "ENd b", ""}));
  EXPECT_EQ(parts({"END"}, {"a EN", "EN"}), (Strings{"a ", "EN", "EN"}));
  EXPECT_EQ(parts({"aab"}, {"a", "a", "a", "a", "b"}), (Strings{"", "", "a", "a", "", ""}));
  EXPECT_EQ(parts({}, {"a", "b"}), (Strings{"a", "b", ""}));
}

TEST(StopStrings, NothingComesAfterOne) {
  EXPECT_EQ(parts({"."}, {"a.b.c", "d", "."}), (Strings{"a", "", "", ""}));
}

TEST(StopStrings, OfOverlappingOnesTheFirstCompleteThenTheLongestEndsTheText) {
  EXPECT_EQ(parts({"abcd", "bc"}, {"xabcd"}), (Strings{"xa", ""}));
  EXPECT_EQ(parts({"c", "abc", "bc"}, {"x", "ab", "c"}), (Strings{"x", "", "", ""}));
  EXPECT_EQ(parts({"abcde", "cx"}, {"abc", "d", "cx"}), (Strings{"", "", "abcd", ""}));
}

TEST(StopStrings, CharactersOfManyBytesAreMatchedWhole) {
  EXPECT_EQ(parts({"€"}, {"5 €", "!"}), (Strings{"5 ", "", ""}));
  // The first two bytes of "€" and "₭" are equal.
  EXPECT_EQ(parts({"€"}, {"5 ₭", "!"}), (Strings{"5 ₭", "!", ""}));
  EXPECT_EQ(parts({"😀😁"}, {"a😀", "😀", "😁"}), (Strings{"a", "😀", "", ""}));
}

TEST(StopStrings, AnEmptyOneIsAUsageError) {
  try {
    StopStrings({"a", ""});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_STREQ(error.what(), "stop: a text expected, found an empty one");
  }
}

}  // namespace
}  // namespace strake
