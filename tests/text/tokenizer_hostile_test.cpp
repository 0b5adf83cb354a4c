// Files that are damaged, contradict themselves or ask for too much: a clear error, soon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/fail.h"
#include "text/tokenizer.h"

namespace strake {
namespace {

// A whole file around one part of it.
std::string file(const std::string& fields) {
  return "{" + fields + R"(,"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}})";
}
std::string bpe(const std::string& vocab, const std::string& merges, const std::string& more = "") {
  return R"({"model":{"type":"BPE","vocab":)" + vocab + R"(,"merges":)" + merges + more + "}}";
}
std::string added(const std::string& id, const std::string& content, const std::string& more = "") {
  return R"({"id":)" + id + R"(,"content":")" + content +
         R"(","single_word":false,"lstrip":false,"rstrip":false,"normalized":true,"special":false)" +
         more + "}";
}
std::string nested(const std::string& open, const std::string& close, int depth) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += open;
  for (int i = 0; i < depth; ++i) text += close;
  return text;
}

void expect_error(const std::string& json, ErrorKind kind, const std::string& part) {
  try {
    Tokenizer::parse(json, "the file");
    ADD_FAILURE() << "accepted: " << json.substr(0, 200);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_THAT(error.what(), testing::StartsWith("the file: "));
    EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}
void damaged(const std::string& json, const std::string& part) {
  expect_error(json, ErrorKind::kCheckpoint, part);
}
void unsupported(const std::string& json, const std::string& part) {
  expect_error(json, ErrorKind::kUnsupported, part);
}

TEST(HostileTokenizer, NotJson) {
  damaged("", "not valid JSON");
  damaged("{", "not valid JSON");
  damaged("{\"model\":\"\xff\"}", "not valid JSON");
  damaged(R"({"model":"\ud800"})", "not valid JSON");
  damaged(R"({"a":1,"a":2})", "'a' stands twice");
  damaged(nested("[", "]", 100'000), "nested deeper");
  damaged("[]", "expected an object");
  damaged("{}", "model: missing");
}

TEST(HostileTokenizer, SequencesInSequences) {
  const std::string part = nested(R"({"type":"Sequence","normalizers":[)", "]}", 10'000);
  damaged(file(R"("normalizer":)" + part), "nested deeper");
}

TEST(HostileTokenizer, UnknownTypesNameTheKnown) {
  unsupported(R"({"model":{"type":"WordPiece","vocab":{}}})", "known are BPE Unigram");
  unsupported(file(R"("normalizer":{"type":"Nmt"})"), "known are Sequence NFC");
  unsupported(file(R"("pre_tokenizer":{"type":"UnicodeScripts"})"), "known are Sequence Split");
  unsupported(file(R"("post_processor":{"type":"BertProcessing"})"), "TemplateProcessing");
  unsupported(file(R"("decoder":{"type":"CTC"})"), "known are Sequence ByteLevel");
  unsupported(file(R"("version":"2.0")"), "version");
  damaged(file(R"("decoder":{"type":7})"), "decoder.type: expected a string, found the number 7");
  damaged(file(R"("decoder":{})"), "decoder.type: missing");
}

TEST(HostileTokenizer, Ids) {
  damaged(bpe(R"({"a":0,"b":0})", "[]"), "id 0 is given to two tokens");
  damaged(bpe(R"({"a":-1})", "[]"), "expected an id from 0 to 2147483647, found -1");
  damaged(bpe(R"({"a":2147483648})", "[]"), "found 2147483648");
  damaged(bpe(R"({"a":18446744073709551615})", "[]"), "model.vocab.a: expected an integer");
  damaged(bpe(R"({"a":1.5})", "[]"), "model.vocab.a: expected an integer");
  damaged(bpe(R"({"a":"0"})", "[]"), "model.vocab.a: expected an integer, found string");
  damaged(bpe(R"(["a"])", "[]"), "model.vocab: expected an object, found array");
  // The largest id takes no more memory than the smallest.
  const auto tokenizer = Tokenizer::parse(bpe(R"({"a":2147483647})", "[]"), "sparse");
  EXPECT_THAT(tokenizer.encode("a", SpecialTokens::kNone), testing::ElementsAre(2147483647));
  EXPECT_EQ(tokenizer.token(2147483647), "a");
}

TEST(HostileTokenizer, Merges) {
  const std::string vocab = R"({"a":0,"b":1,"ab":2})";
  damaged(bpe(vocab, R"(["a c"])"), "model.merges[0] of 'a' and 'c': 'c' is not");
  damaged(bpe(vocab, R"([["b","a"]])"), "'ba' is not in the vocabulary");
  damaged(bpe(vocab, R"(["a b","ab"])"), "model.merges[1]: expected");
  damaged(bpe(vocab, R"(["a b c"])"), "model.merges[0]: expected");
  damaged(bpe(vocab, R"([["a","b","c"]])"), "model.merges[0]: expected");
  damaged(bpe(vocab, "[1]"), "model.merges[0]: expected");
  damaged(bpe(vocab, "{}"), "model.merges: expected an array");
  damaged(bpe(vocab, R"(["a b"])", R"(,"continuing_subword_prefix":"###")"), "shorter than");
  damaged(R"({"model":{"type":"BPE","vocab":{}}})", "model.merges: missing");
  unsupported(bpe(vocab, "[]", R"(,"dropout":0.1)"), "model.dropout");
}

// Merges that undo or repeat one another end all the same: each shortens the word.
TEST(HostileTokenizer, CyclicMerges) {
  const auto tokenizer =
      Tokenizer::parse(bpe(R"({"a":0,"aa":1,"aaa":2,"":3})",
                           R"([["a","a"],["aa","a"],["a","aa"],["","a"],["a",""],["a","a"]])"),
                       "cyclic");
  const std::string text(100'000, 'a');
  const auto ids = tokenizer.encode(text, SpecialTokens::kNone);
  EXPECT_EQ(tokenizer.decode(ids, SkipSpecial::kKeep).size(), text.size() + ids.size() - 1);
}

TEST(HostileTokenizer, UnknownTokens) {
  const auto tokenizer =
      Tokenizer::parse(bpe(R"({"a":0})", "[]", R"(,"unk_token":"?")"), "unknown");
  EXPECT_THAT(tokenizer.encode("aa", SpecialTokens::kNone), testing::ElementsAre(0, 0));
  EXPECT_THROW(tokenizer.encode("b", SpecialTokens::kNone), Error);
  damaged(R"({"model":{"type":"Unigram","unk_id":1,"vocab":[["a",0.0]]}})", "model.unk_id");
  damaged(R"({"model":{"type":"Unigram","unk_id":-1,"vocab":[["a",0.0]]}})", "model.unk_id");
  const auto unigram =
      Tokenizer::parse(R"({"model":{"type":"Unigram","vocab":[["a",0.0]]}})", "unigram");
  EXPECT_THROW(unigram.encode("b", SpecialTokens::kNone), Error);
}

TEST(HostileTokenizer, Unigram) {
  damaged(R"({"model":{"type":"Unigram","vocab":[]}})", "model.vocab: empty");
  damaged(R"({"model":{"type":"Unigram","vocab":[["a"]]}})", "model.vocab[0]: expected");
  damaged(R"({"model":{"type":"Unigram","vocab":[["a",0],["a",1]]}})", "'a' stands twice");
  damaged(R"({"model":{"type":"Unigram","vocab":[["a",1e999]]}})", "not valid JSON");
  damaged(R"({"model":{"type":"Unigram","vocab":[[")" + std::string(5000, 'a') + R"(",0]]}})",
          "5000 bytes long");
}

TEST(HostileTokenizer, AddedTokens) {
  const auto list = [](const std::string& items) {
    return file(R"("added_tokens":[)" + items + "]");
  };
  damaged(list(added("7", "x")), "'x' has id 7, expected 3 from the order");
  damaged(list(added("1", "a")), "'a' has id 1, expected 0 from the vocabulary");
  damaged(list(added("0", "a") + "," + added("0", "a")), "'a' stands twice");
  damaged(list(added("-1", "a")), "added_tokens[0].id: expected a token id");
  damaged(list(added("4294967296", "a")), "added_tokens[0].id");
  damaged(list(R"({"id":3,"content":"x"})"), "added_tokens[0].normalized: missing");
  damaged(list("3"), "added_tokens[0]: expected an object");
  damaged(list(added("3", std::string(2000, 'x'))), "2000 bytes long");
  // Two tokens that the normalizer makes one, and one of which it leaves nothing.
  const auto normalized = [](const std::string& type, const std::string& items) {
    return file(R"("normalizer":)" + type + R"(,"added_tokens":[)" + items + "]");
  };
  damaged(normalized(R"({"type":"Lowercase"})", added("3", "X") + "," + added("4", "x")),
          "the same text 'x'");
  damaged(normalized(R"({"type":"Strip","strip_left":true,"strip_right":true})", added("3", " ")),
          "token 3 is empty");
}

TEST(HostileTokenizer, Components) {
  const auto pre = [](const std::string& json) { return file(R"("pre_tokenizer":)" + json); };
  unsupported(
      pre(R"({"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated","invert":false})"),
      "pattern '('");
  damaged(pre(R"({"type":"Split","pattern":"x","behavior":"Isolated","invert":false})"),
          "pre_tokenizer.pattern");
  unsupported(pre(R"({"type":"Punctuation","behavior":"Exploded"})"), "known are Removed");
  damaged(pre(R"({"type":"Metaspace","replacement":"ab"})"), "a string of one character");
  damaged(pre(R"({"type":"Metaspace","replacement":""})"), "a string of one character");
  damaged(pre(R"({"type":"Metaspace","replacement":"_","add_prefix_space":false})"), "contradicts");
  unsupported(pre(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"often"})"), "often");
  const auto post = [](const std::string& json) { return file(R"("post_processor":)" + json); };
  damaged(post(R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}}],
                   "special_tokens":{}})"),
          "post_processor.special_tokens.<s>: missing");
  damaged(post(R"({"type":"TemplateProcessing","single":[{"Sequence":{"id":"B"}}],
                   "special_tokens":{}})"),
          "only sequence A");
  damaged(post(R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"s"}}],
                   "special_tokens":{"s":{"ids":[-1]}}})"),
          "special_tokens.s.ids[0]");
  const std::string half = R"({"type":"TemplateProcessing","single":[],"special_tokens":{}})";
  unsupported(post(R"({"type":"Sequence","processors":[)" + half + "," + half + "]}"), "second");
}

// Forty steps that double the text each.
TEST(HostileTokenizer, ExplodingText) {
  const auto repeat = [](const std::string& part) {
    std::string list = part;
    for (int i = 1; i < 40; ++i) list += "," + part;
    return list;
  };
  const std::string twice = R"({"type":"Replace","pattern":{"String":"a"},"content":"aa"})";
  const std::string bytes = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})";
  const std::string normalizers = R"("normalizer":{"type":"Sequence","normalizers":[)";
  const std::string pre_tokenizers = R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[)";
  for (const std::string& part : {normalizers + repeat(twice), pre_tokenizers + repeat(bytes),
                                  normalizers + repeat(R"({"type":"ByteLevel"})")}) {
    const auto tokenizer = Tokenizer::parse(file(part + "]}"), "exploding");
    EXPECT_THROW(tokenizer.encode("a\xc3\xa9", SpecialTokens::kNone), Error);
  }
  const auto tokenizer = Tokenizer::parse(
      file(R"("decoder":{"type":"Sequence","decoders":[)" + repeat(twice) + "]}"), "exploding");
  EXPECT_THROW(tokenizer.decode(std::vector<int32_t>{0}, SkipSpecial::kKeep), Error);
}

// A pattern that compiles but never comes to an end on the text.
TEST(HostileTokenizer, RunawayPattern) {
  const auto tokenizer =
      Tokenizer::parse(file(R"("pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a+)+$"},)"
                            R"("behavior":"Isolated","invert":false})"),
                       "runaway");
  try {
    tokenizer.encode(std::string(100, 'a') + "b", SpecialTokens::kNone);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_THAT(error.what(), testing::HasSubstr("(a+)+$"));
  }
}

}  // namespace
}  // namespace strake
