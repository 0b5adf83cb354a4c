#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "strake/base/error.h"

namespace strake {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::filesystem::path kData = std::filesystem::path(STRAKE_TEST_DATA) / "text";

Tokenizer llama() { return Tokenizer::load(kData / "llama"); }

Tokenizer small(const std::string& name) {
  return Tokenizer::parse(read_text_file(kData / "tokenizer" / (name + ".json")), name);
}

TEST(Tokenizer, NamesAndIds) {
  const Tokenizer tokenizer = llama();
  EXPECT_EQ(tokenizer.token_id("<|begin|>"), 0);
  EXPECT_EQ(tokenizer.token(1), "<|end|>");
  EXPECT_EQ(tokenizer.token_id("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.token(-1), std::nullopt);
  EXPECT_EQ(tokenizer.token(1 << 30), std::nullopt);
  EXPECT_EQ(tokenizer.vocabulary_size(), 2048);
}

TEST(Tokenizer, CountsAddedTokensOnce) {
  const Tokenizer tokenizer = small("added");
  int32_t named = 0;
  for (int32_t id = 0; id < 1000; ++id) named += tokenizer.token(id).has_value() ? 1 : 0;
  EXPECT_EQ(tokenizer.vocabulary_size(), named);
}

TEST(Tokenizer, EmptyText) {
  const Tokenizer tokenizer = llama();
  EXPECT_THAT(tokenizer.encode("", SpecialTokens::kNone), IsEmpty());
  EXPECT_EQ(tokenizer.decode({}, SkipSpecial::kKeep), "");
}

TEST(Tokenizer, SpecialTokensInTheTextAreRecognised) {
  const Tokenizer tokenizer = llama();
  const auto ids = tokenizer.encode("<|begin|><|end|>", SpecialTokens::kNone);
  EXPECT_THAT(ids, ElementsAre(0, 1));
  EXPECT_EQ(tokenizer.decode(ids, SkipSpecial::kKeep), "<|begin|><|end|>");
  EXPECT_EQ(tokenizer.decode(ids, SkipSpecial::kSkip), "");
}

TEST(Tokenizer, PostProcessorPutsItsTokensAround) {
  const Tokenizer tokenizer = small("cl100k");
  const int32_t begin = *tokenizer.token_id("<|begin|>");
  const int32_t end = *tokenizer.token_id("<|end|>");
  EXPECT_THAT(tokenizer.encode("", SpecialTokens::kAdd), ElementsAre(begin, end));
  EXPECT_THAT(tokenizer.encode("", SpecialTokens::kNone), IsEmpty());
}

TEST(Tokenizer, UnknownIdsLeaveNoText) {
  const Tokenizer tokenizer = llama();
  const std::vector<int32_t> ids = {-5, 1 << 30, *tokenizer.token_id("a"), 2048};
  EXPECT_EQ(tokenizer.decode(ids, SkipSpecial::kKeep), "a");
}

TEST(Tokenizer, BytesThatAreNotUtf8CountAsReplacementCharacters) {
  const Tokenizer tokenizer = llama();
  const auto encode = [&](std::string_view text) {
    return tokenizer.encode(text, SpecialTokens::kNone);
  };
  EXPECT_EQ(encode("a\xff z"), encode("a\xef\xbf\xbd z"));
  EXPECT_EQ(encode("\xe4\xb8"), encode("\xef\xbf\xbd"));
  EXPECT_EQ(encode("\xed\xa0\x80"), encode("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"));
}

// Long runs neither overflow a stack nor take quadratic time.
TEST(Tokenizer, AMillionOfOneCharacter) {
  for (const char* name : {"smollm", "llama2", "unigram", "added"}) {
    const Tokenizer tokenizer = small(name);
    for (const std::string& unit : {std::string(" "), std::string("a"), std::string(1, '\0')}) {
      std::string text;
      for (int i = 0; i < 1'000'000; ++i) text += unit;
      const auto ids = tokenizer.encode(text, SpecialTokens::kNone);
      // Metaspace drops the first space.
      EXPECT_GE(tokenizer.decode(ids, SkipSpecial::kKeep).size(), text.size() - 1) << name;
    }
  }
}

// Tokens that take the space around them, in a text of nothing else.
TEST(Tokenizer, AMillionSpacesForTheTaking) {
  const auto take = [](const std::string& flags) {
    const Tokenizer tokenizer = Tokenizer::parse(
        R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"added_tokens":[{"id":1,)"
        R"("content":" ","single_word":false,"normalized":false,"special":false,)" +
            flags + "}]}",
        "spaces");
    return tokenizer.encode("a" + std::string(1'000'000, ' ') + "a", SpecialTokens::kNone);
  };
  EXPECT_EQ(take(R"("lstrip":false,"rstrip":false)").size(), 1'000'002u);
  EXPECT_EQ(take(R"("lstrip":true,"rstrip":false)").size(), 1'000'002u);
  EXPECT_THAT(take(R"("lstrip":true,"rstrip":true)"), ElementsAre(0, 1, 0));
}

TEST(Tokenizer, MarksInTheWrongOrder) {
  std::string text = "a";
  for (int i = 0; i < 200'000; ++i) text += "\xcc\x81\xcc\xa3";  // above, below: to be swapped
  EXPECT_FALSE(small("unigram").encode(text, SpecialTokens::kNone).empty());
  EXPECT_FALSE(small("cl100k").encode(text, SpecialTokens::kNone).empty());
}

TEST(Tokenizer, ManyThreadsShareOne) {
  const Tokenizer tokenizer = small("llama2");
  const std::string text = "The quick brown fox: \xe4\xbd\xa0\xe5\xa5\xbd [INST] 12345";
  const auto expected = tokenizer.encode(text, SpecialTokens::kAdd);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        const auto ids = tokenizer.encode(text, SpecialTokens::kAdd);
        EXPECT_EQ(ids, expected);
        EXPECT_EQ(tokenizer.decode(ids, SkipSpecial::kSkip), text);
      }
    });
  for (auto& thread : threads) thread.join();
}

TEST(Tokenizer, MovesAndCopies) {
  Tokenizer tokenizer = llama();
  const Tokenizer copy = tokenizer;
  StreamDecoder stream(tokenizer, SkipSpecial::kKeep);
  const Tokenizer moved = std::move(tokenizer);
  EXPECT_EQ(copy.encode("one", SpecialTokens::kNone), moved.encode("one", SpecialTokens::kNone));
  EXPECT_EQ(stream.push(*copy.token_id("a")) + stream.finish(), "a");
}

TEST(Tokenizer, MissingFile) {
  try {
    Tokenizer::load(kData / "nowhere");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kSystem);
    EXPECT_THAT(error.what(), testing::HasSubstr("nowhere/tokenizer.json"));
  }
}

// 100,000 tokens and merges, 8 MB: reading it stays linear.
TEST(Tokenizer, LargeFile) {
  std::string vocab = "\"a\":0,\"b\":1";
  std::string merges;
  std::string longest = "a";
  std::vector<std::string> tokens = {"a", "b"};
  for (int id = 2; id < 100'000; ++id) {
    // Tokens are the binary numbers, written with a and b, each its half and one letter.
    const std::string& half = tokens[static_cast<size_t>(id) / 2 - 1];
    const std::string letter = id % 2 ? "b" : "a";
    const std::string token = half + letter;
    vocab += ",\"" + token + "\":" + std::to_string(id);
    merges += (merges.empty() ? "[\"" : ",[\"") + half + "\",\"" + letter + "\"]";
    tokens.push_back(token);
  }
  const Tokenizer tokenizer = Tokenizer::parse(
      R"({"model":{"type":"BPE","vocab":{)" + vocab + R"(},"merges":[)" + merges + "]}}", "large");
  EXPECT_EQ(tokenizer.vocabulary_size(), 100'000);
  EXPECT_THAT(tokenizer.encode("aab", SpecialTokens::kNone), ElementsAre(7));
  EXPECT_EQ(tokenizer.token(99'999), tokens.back());
}

}  // namespace
}  // namespace strake
