// From tokens back to text, token by token.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "text/tokenizer_json.h"

namespace strake::text {

// Takes a list of tokens piecemeal: the text of a token in any number of parts, then its end.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual void append(std::string_view text) = 0;
  virtual void end_token() = 0;
  virtual void finish() = 0;  // no token follows
};

// A step of decoding: a sink that passes on what it is sure of. Whole texts and streams go through
// the same steps, so a stream adds up to the same text.
class DecoderStep : public TokenSink {
 public:
  void connect(TokenSink& next) { next_ = &next; }
  void append(std::string_view text) override { next().append(text); }
  void end_token() override { next().end_token(); }
  void finish() override { next().finish(); }

 protected:
  TokenSink& next() { return *next_; }

 private:
  TokenSink* next_ = nullptr;
};

// A chain of steps that ends in a text.
class DecoderChain {
 public:
  void add(std::unique_ptr<DecoderStep> step);

  void push(std::string_view token);
  void finish();
  // The text that became final since the last call.
  std::string take();

 private:
  struct Text : TokenSink {
    void append(std::string_view part) override { text += part; }
    void end_token() override {}
    void finish() override {}
    std::string text;
  };
  TokenSink& first() { return steps_.empty() ? *text_ : static_cast<TokenSink&>(*steps_.front()); }

  std::vector<std::unique_ptr<DecoderStep>> steps_;
  std::unique_ptr<Text> text_ = std::make_unique<Text>();
};

// Adds fresh steps to a chain. Safe to call from many threads.
using Decoder = std::function<void(DecoderChain&)>;

// The "decoder" of a tokenizer.json; without one, tokens are joined by spaces.
// Throws Error(kUnsupported) with the known types.
Decoder parse_decoder(const std::optional<JsonNode>& node);

}  // namespace strake::text
