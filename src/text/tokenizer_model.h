// What turns pieces of text into token ids.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "text/tokenizer_json.h"
#include "text/tokenizer_text.h"
#include "text/tokenizer_vocabulary.h"

namespace strake::text {

class Model {
 public:
  virtual ~Model() = default;
  // Appends the ids of all pieces; added tokens pass through. Safe to call from many threads.
  virtual void encode(const Pieces& pieces, std::vector<int32_t>& ids) const = 0;
  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  explicit Model(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}

 private:
  Vocabulary vocabulary_;
};

// The "model" of a tokenizer.json: BPE or Unigram. Throws Error(kUnsupported) on another type.
std::unique_ptr<Model> parse_model(const JsonNode& node);
std::unique_ptr<Model> parse_bpe(const JsonNode& node);
std::unique_ptr<Model> parse_unigram(const JsonNode& node);

// The tokens <0x00> .. <0xFF> that spell out what has no token of its own.
class ByteTokens {
 public:
  explicit ByteTokens(const Vocabulary& vocabulary);
  // Appends the ids of all bytes; false, and nothing appended, when one has no token.
  bool append(std::string_view bytes, std::vector<int32_t>& ids) const;

 private:
  std::array<int32_t, 256> ids_;  // kNoToken: none
};

}  // namespace strake::text
