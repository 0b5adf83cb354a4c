#include "base/json.h"

#include <gmock/gmock.h>

#include <string>

#include "io/expect_error.h"

namespace strake {
namespace {

void refuse(const std::string& text, const std::string& message) {
  expect_error(ErrorKind::kCheckpoint, message, [&] { parse_json(text, "config.json"); });
}

std::string nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') +
         std::string(static_cast<size_t>(depth), ']');
}

TEST(Json, ReadsEveryKindOfValue) {
  const Json json = parse_json(
      R"({"b": [1, -2, 2.5, true, null, "é\n"], "a": {"x": {}}, "n": 18446744073709551615})", "x");
  EXPECT_EQ(json["b"][0], 1);
  EXPECT_EQ(json["b"][1], -2);
  EXPECT_EQ(json["b"][2], 2.5);
  EXPECT_EQ(json["b"][3], true);
  EXPECT_TRUE(json["b"][4].is_null());
  EXPECT_EQ(json["b"][5], "é\n");
  EXPECT_TRUE(json["a"]["x"].empty());
  EXPECT_EQ(json["n"].get<uint64_t>(), ~uint64_t{0});
  EXPECT_EQ(json.begin().key(), "b") << "keys keep their order";
  EXPECT_EQ(parse_json(" 7 ", "x"), 7);
  EXPECT_EQ(dump_json(parse_json(dump_json(json), "x")), dump_json(json));
}

TEST(Json, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "[1,]", "{\"a\":}", "{a:1}", "nul", "1 2", "{\"a\":1}}", "'x'",
                           "[1", "\"\xff\"", "[1e400]", "NaN"})
    refuse(text, "config.json: not valid JSON");
  refuse(std::string("{}\0", 3), "config.json: not valid JSON: a zero byte at 2");
}

TEST(Json, RefusesRepeatedKeys) {
  refuse(R"({"a": 1, "b": 2, "a": 3})", "config.json: key 'a' stands twice in one object");
  refuse(R"([{"x": {"y": 1, "y": 1}}])", "key 'y' stands twice");
  EXPECT_EQ(parse_json(R"({"a": {"b": 1}, "b": {"b": 1}})", "x")["b"]["b"], 1);
  const Json last = parse_json(R"({"a": 1, "b": 2, "a": {"c": 3}})", "x", DuplicateKeys::kLastWins);
  EXPECT_EQ(last["a"]["c"], 3);
  EXPECT_EQ(last.size(), 2u);
}

TEST(Json, BoundsTheDepth) {
  EXPECT_NO_THROW(parse_json(nested(128), "x"));
  refuse(nested(129), "config.json: nested deeper than 128 levels");
  refuse(std::string(1000000, '['), "nested deeper than 128 levels");
  std::string objects;
  for (int i = 0; i < 129; ++i) objects += "{\"a\":";
  refuse(objects, "nested deeper than 128 levels");
}

TEST(Json, ManyKeysTakeNoTime) {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += (i ? ",\"k" : "\"k") + std::to_string(i) + "\":1";
  EXPECT_EQ(parse_json(text + "}", "x").size(), 200000u);
}

TEST(Json, WritesInvalidTextAsReplacementCharacters) {
  EXPECT_EQ(dump_json(Json("a\xff")), "\"a\uFFFD\"");
  EXPECT_EQ(dump_json(Json::array({1, 2}), 1), "[\n 1,\n 2\n]");
}

}  // namespace
}  // namespace strake
