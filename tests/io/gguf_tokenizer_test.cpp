#include "io/gguf_tokenizer.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "expect_error.h"
#include "gguf_builder.h"
#include "text/tokenizer.h"

namespace strake {
namespace {

const std::filesystem::path kData = std::filesystem::path(STRAKE_TEST_DATA) / "io";

GgufMetadata metadata_of(const GgufBuilder& builder) {
  const std::string bytes = builder.build();
  return parse_gguf_header({static_cast<int64_t>(bytes.size()),
                            [&](int64_t offset, std::span<std::byte> out) {
                              std::memcpy(out.data(), bytes.data() + offset, out.size());
                            },
                            "f.gguf"})
      .metadata;
}

GgufBuilder small(const std::string& pre) {
  return GgufBuilder()
      .text("tokenizer.ggml.model", "gpt2")
      .text("tokenizer.ggml.pre", pre)
      .texts("tokenizer.ggml.tokens", {"<s>", "</s>", "a", "b", "ab", "[PAD5]"})
      .integers("tokenizer.ggml.token_type", {3, 3, 1, 1, 1, 5})
      .texts("tokenizer.ggml.merges", {"a b"})
      .number("tokenizer.ggml.bos_token_id", 0)
      .number("tokenizer.ggml.eos_token_id", 1);
}

Tokenizer tokenizer_of(const ImportedTokenizer& imported) {
  return Tokenizer::parse(dump_json(imported.tokenizer), "tokenizer.json");
}

class GgufTokenizer : public testing::TestWithParam<const char*> {};

TEST_P(GgufTokenizer, EncodesLikeTheReference) {
  const auto file = GgufFile::open(kData / ("tokenizer_" + std::string(GetParam()) + ".gguf"));
  const auto imported = tokenizer_from_gguf(file.metadata());
  ASSERT_TRUE(imported);
  const Tokenizer tokenizer = tokenizer_of(*imported);
  const Json cases = parse_json(read_text_file(kData / "tokenizer_cases.json"), "cases");
  for (const Json& c : cases.at(GetParam())) {
    const auto text = c.at("text").get<std::string>();
    const auto ids = c.at("ids").get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer.encode(text, SpecialTokens::kAdd), ids) << text;
    EXPECT_EQ(tokenizer.decode(ids, SkipSpecial::kKeep), c.at("decoded").get<std::string>());
  }
  EXPECT_EQ(imported->config.at("chat_template"), "{{ messages }}");
  EXPECT_EQ(imported->config.at("bos_token"), "<|start|>");
  EXPECT_EQ(imported->config.at("eos_token"), "<|end|>");
  EXPECT_EQ(imported->config.at("add_bos_token"), std::string(GetParam()) == "llama-bpe");
}

INSTANTIATE_TEST_SUITE_P(Pre, GgufTokenizer,
                         testing::Values("gpt-2", "smollm", "llama-bpe", "qwen2"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(GgufTokenizerImport, FlagsSayWhichTokensAreAdded) {
  const auto encoded = [](const GgufBuilder& builder) {
    return tokenizer_of(*tokenizer_from_gguf(metadata_of(builder)))
        .encode("ab", SpecialTokens::kAdd);
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(encoded(small("gpt-2")), (Ids{4}));
  EXPECT_EQ(encoded(small("gpt-2").flag("tokenizer.ggml.add_bos_token", true)), (Ids{0, 4}));
  EXPECT_EQ(encoded(small("gpt-2").flag("tokenizer.ggml.add_eos_token", true)), (Ids{4, 1}));
  EXPECT_EQ(encoded(small("llama-bpe")), (Ids{0, 4}));
  EXPECT_EQ(encoded(small("llama-bpe").flag("tokenizer.ggml.add_bos_token", false)), (Ids{4}));
}

TEST(GgufTokenizerImport, UnusedTokensAreLeftOut) {
  const auto imported = tokenizer_from_gguf(metadata_of(small("gpt-2")));
  EXPECT_EQ(imported->tokenizer.at("model").at("vocab").size(), 5u);
  EXPECT_EQ(imported->tokenizer.at("added_tokens").size(), 2u);
}

TEST(GgufTokenizerImport, AFileMayHaveNone) {
  EXPECT_FALSE(tokenizer_from_gguf(metadata_of(GgufBuilder())));
}

TEST(GgufTokenizerImport, WhatCannotBeImportedIsNamed) {
  constexpr ErrorKind kDamaged = ErrorKind::kCheckpoint;
  constexpr ErrorKind kUnsupported = ErrorKind::kUnsupported;
  const auto gpt2 = [] {
    return GgufBuilder().text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "gpt-2");
  };
  struct Case {
    GgufBuilder builder;
    ErrorKind kind;
    const char* message;
  };
  const Case cases[] = {
      {GgufBuilder().text("tokenizer.ggml.model", "llama"), kUnsupported,
       "'tokenizer.ggml.model': gpt2 (byte-level BPE) expected, found 'llama'"},
      {GgufBuilder().text("tokenizer.ggml.model", "gpt2"), kUnsupported,
       "'tokenizer.ggml.pre': one of gpt-2, smollm, starcoder, refact, llama-bpe, qwen2 expected"},
      {small("falcon"), kUnsupported, "found 'falcon'"},
      {gpt2(), kDamaged, "'tokenizer.ggml.tokens' is missing"},
      {gpt2().text("tokenizer.ggml.tokens", "a"), kDamaged, "an array of texts expected"},
      {gpt2().texts("tokenizer.ggml.tokens", {"a"}), kDamaged,
       "'tokenizer.ggml.merges' is missing"},
      {gpt2().texts("tokenizer.ggml.tokens", {"a", "a"}), kDamaged, "'a' stands twice"},
      {gpt2().texts("tokenizer.ggml.tokens", {"a"}).integers("tokenizer.ggml.token_type", {1, 1}),
       kDamaged, "1 entries expected, found 2"},
      {gpt2().texts("tokenizer.ggml.tokens", {"a"}).texts("tokenizer.ggml.merges", {"ab"}),
       kDamaged, "two tokens expected, found 'ab'"},
      {small("gpt-2").number("tokenizer.ggml.unknown_token_id", 6), kDamaged,
       "'tokenizer.ggml.unknown_token_id': an id below 6 expected, found 6"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.message);
    expect_error(c.kind, c.message, [&] { tokenizer_from_gguf(metadata_of(c.builder)); });
  }
}

}  // namespace
}  // namespace strake
