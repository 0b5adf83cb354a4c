// The same ids and texts as the `tokenizers` package, for 5,000 strings and every committed
// tokenizer (scripts/goldens/tokenizer.py).
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "text/tokenizer.h"
#include "text/tokenizer_unicode.h"

namespace strake {
namespace {

const std::filesystem::path kData = std::filesystem::path(STRAKE_TEST_DATA) / "text";

std::vector<std::string> golden_strings() {
  const auto path = kData / "tokenizer" / "strings.json";
  return parse_json(read_text_file(path), path.string()).get<std::vector<std::string>>();
}

std::vector<uint32_t> golden_hashes(const std::string& name) {
  const std::string bytes = read_text_file(kData / "tokenizer" / (name + ".bin"));
  std::vector<uint32_t> hashes(bytes.size() / sizeof(uint32_t));
  std::memcpy(hashes.data(), bytes.data(), bytes.size());
  return hashes;
}

Tokenizer golden_tokenizer(const std::string& name) {
  if (name == "llama") return Tokenizer::load(kData / "llama");
  const auto path = kData / "tokenizer" / (name + ".json");
  return Tokenizer::parse(read_text_file(path), path.string());
}

// FNV-1a, 64 bits, folded to 32.
class Hash {
 public:
  void add(std::string_view bytes) {
    for (const char byte : bytes)
      value_ = (value_ ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  }
  void add(const std::vector<int32_t>& ids) {
    add({reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t)});
    add("\xff\xff\xff\xff");
  }
  uint32_t folded() const { return static_cast<uint32_t>(value_ ^ value_ >> 32); }

 private:
  uint64_t value_ = 0xcbf29ce484222325;
};

class TokenizerGolden : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerGolden, IdsAndTexts) {
  const Tokenizer tokenizer = golden_tokenizer(GetParam());
  const auto strings = golden_strings();
  const auto hashes = golden_hashes(GetParam());
  ASSERT_GE(strings.size(), 5000u);
  ASSERT_EQ(strings.size(), hashes.size());
  for (size_t i = 0; i < strings.size(); ++i) {
    const auto plain = tokenizer.encode(strings[i], SpecialTokens::kNone);
    const auto whole = tokenizer.encode(strings[i], SpecialTokens::kAdd);
    Hash hash;
    hash.add(plain);
    hash.add(whole);
    hash.add(tokenizer.decode(plain, SkipSpecial::kKeep));
    hash.add("\xff");
    hash.add(tokenizer.decode(whole, SkipSpecial::kSkip));
    EXPECT_EQ(hash.folded(), hashes[i])
        << "string " << i << ": " << testing::PrintToString(strings[i]) << "\nids "
        << testing::PrintToString(plain);
  }
}

TEST_P(TokenizerGolden, StreamsAddUpToTheSameText) {
  const Tokenizer tokenizer = golden_tokenizer(GetParam());
  for (const std::string& string : golden_strings()) {
    const auto ids = tokenizer.encode(string, SpecialTokens::kAdd);
    StreamDecoder stream(tokenizer, SkipSpecial::kSkip);
    std::string streamed;
    for (const int32_t id : ids) {
      const std::string part = stream.push(id);
      std::string valid;
      text::append_valid_utf8(valid, part);
      EXPECT_EQ(part, valid);
      streamed += part;
    }
    streamed += stream.finish();
    EXPECT_EQ(streamed, tokenizer.decode(ids, SkipSpecial::kSkip));
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerGolden,
                         testing::Values("llama", "gpt2", "smollm", "cl100k", "o200k", "splits",
                                         "llama2", "gemma", "metaspace", "unigram", "words",
                                         "prefixes", "added", "normalized_bytes"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace strake
