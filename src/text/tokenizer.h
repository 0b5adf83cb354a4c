// Text to token ids and back, as a Hugging Face tokenizer.json says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace strake {

enum class SpecialTokens { kNone, kAdd };  // whether the post-processor's tokens are put around
enum class SkipSpecial { kKeep, kSkip };   // whether special tokens leave no text

// Gives what the `tokenizers` package gives, but for the batch settings "truncation" and "padding",
// which are not applied. Immutable, cheap to copy, safe to use from many threads.
class Tokenizer {
 public:
  // `json` is the text of a tokenizer.json, `what` names it in messages. Throws Error(kCheckpoint)
  // when it is damaged or contradicts itself, Error(kUnsupported) on a component that is not
  // implemented.
  static Tokenizer parse(std::string_view json, std::string_view what);
  // Reads directory/tokenizer.json.
  static Tokenizer load(const std::filesystem::path& directory);

  // Added tokens written in the text are always recognised. Bytes that are not UTF-8 count as
  // U+FFFD. Throws Error(kUnsupported) when a pattern of the file backtracks without bound.
  std::vector<int32_t> encode(std::string_view text, SpecialTokens special) const;

  // Ids that no token has leave no text.
  std::string decode(std::span<const int32_t> ids, SkipSpecial skip) const;

  std::optional<int32_t> token_id(std::string_view token) const;
  // The token as the vocabulary spells it ("Ġthe"), not as text.
  std::optional<std::string> token(int32_t id) const;
  // Distinct tokens, added ones included.
  int32_t vocabulary_size() const;

 private:
  friend class StreamDecoder;
  struct Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  std::shared_ptr<const Impl> impl_;
};

// Decodes ids as they come. All that push() and finish() return, put together, is
// Tokenizer::decode() of all ids; no part ends within a character.
class StreamDecoder {
 public:
  StreamDecoder(const Tokenizer& tokenizer, SkipSpecial skip);
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;
  ~StreamDecoder();

  // The text that is final since the last call; may be empty.
  std::string push(int32_t id);
  // The rest. Call once, after the last id.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace strake
