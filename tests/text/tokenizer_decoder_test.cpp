#include "text/tokenizer_decoder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace strake::text {
namespace {

// What each push gives, then what finish gives.
std::vector<std::string> stream(const char* json, const std::vector<std::string>& tokens) {
  DecoderChain chain;
  if (json) {
    const JsonDocument document(json);
    parse_decoder(document.root())(chain);
  } else {
    parse_decoder(std::nullopt)(chain);
  }
  std::vector<std::string> parts;
  for (const std::string& token : tokens) {
    chain.push(token);
    parts.push_back(chain.take());
  }
  chain.finish();
  parts.push_back(chain.take());
  return parts;
}

using Parts = std::vector<std::string>;

TEST(Decoder, WithoutOneTokensAreJoinedBySpaces) {
  EXPECT_EQ(stream(nullptr, {"a", "", "b"}), (Parts{"a", " ", " b", ""}));
}

TEST(Decoder, ByteLevelWaitsForWholeCharacters) {
  const char* json = R"({"type": "ByteLevel"})";
  // U+1F600 is F0 9F 98 80: "ð", "Ł", "ĺ", "Ģ" in the printable alphabet.
  EXPECT_EQ(stream(json, {"a\xc3\xb0", "\xc5\x81", "\xc4\xba", "\xc4\xa2z"}),
            (Parts{"a", "", "", "\xf0\x9f\x98\x80z", ""}));
  EXPECT_EQ(stream(json, {"\xc3\xb0", "\xc5\x81", "z"}), (Parts{"", "", "\xef\xbf\xbdz", ""}));
  EXPECT_EQ(stream(json, {"\xc3\xb0\xc5\x81"}), (Parts{"", "\xef\xbf\xbd"}));
  // A token outside of the alphabet stands for itself.
  EXPECT_EQ(stream(json, {"\xe4\xb8\xad\xc4\xa0"}), (Parts{"\xe4\xb8\xad\xc4\xa0", ""}));
}

TEST(Decoder, ByteFallbackWaitsForTheEndOfARun) {
  const char* json = R"({"type": "ByteFallback"})";
  EXPECT_EQ(stream(json, {"<0xC3>", "<0xA9>", "x"}), (Parts{"", "", "\xc3\xa9x", ""}));
  EXPECT_EQ(stream(json, {"<0x41>", "<0xC3>"}), (Parts{"", "", "\xef\xbf\xbd\xef\xbf\xbd"}));
  EXPECT_EQ(stream(json, {"<0xZZ>", "<0x1>"}), (Parts{"<0xZZ>", "<0x1>", ""}));
}

TEST(Decoder, StripDropsTheFirstAndHoldsTheLast) {
  const char* json = R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
                         {"type": "Strip", "content": " ", "start": 1, "stop": 2}]})";
  EXPECT_EQ(stream(json, {"  a ", " ", " ", "b", " "}), (Parts{" a", "", " ", "  b", "", ""}));
  const char* each = R"({"type": "Strip", "content": "_", "start": 1, "stop": 1})";
  EXPECT_EQ(stream(each, {"__a__", "_", "__", "b"}), (Parts{"_a_", "", "", "b", ""}));
}

TEST(Decoder, MetaspaceDropsThoseOfTheFirstToken) {
  const char* json = R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"})";
  EXPECT_EQ(stream(json, {"_a_b", "_c"}), (Parts{"ab", " c", ""}));
  const char* never = R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "never"})";
  EXPECT_EQ(stream(never, {"_a", "_c"}), (Parts{" a", " c", ""}));
}

TEST(Decoder, WordSuffixBecomesASpaceUnlessLast) {
  const char* json = R"({"type": "BPEDecoder", "suffix": "</w>"})";
  EXPECT_EQ(stream(json, {"a</w>", "b", "c</w>"}), (Parts{"", "a ", "b", "c"}));
}

TEST(Decoder, ReplaceLooksAtWholeTokens) {
  const char* json = R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
                         {"type": "Replace", "pattern": {"Regex": "ab"}, "content": "-"}]})";
  EXPECT_EQ(stream(json, {"a", "b", "c"}), (Parts{"", "", "", "-c"}));
}

}  // namespace
}  // namespace strake::text
