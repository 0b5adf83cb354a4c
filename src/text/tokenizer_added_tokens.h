// Tokens that are found in the text before the model sees it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "text/tokenizer_json.h"
#include "text/tokenizer_normalizer.h"
#include "text/tokenizer_prefixes.h"
#include "text/tokenizer_vocabulary.h"

namespace strake::text {

class AddedTokens {
 public:
  // What a list of added tokens builds on.
  struct Context {
    const Vocabulary& vocabulary;
    const Normalizer& normalizer;
  };
  // No added tokens.
  AddedTokens() : AddedTokens({}, {}) {}
  // The "added_tokens" of a tokenizer.json. Throws Error(kCheckpoint) when an id is not the one
  // that the vocabulary, or the order of the list, gives to the token.
  static AddedTokens parse(const JsonNode& node, const Context& context);

  // A cut of a text: an added token or, with kNoToken, what lies between.
  struct Cut {
    size_t begin;
    size_t end;
    int32_t token;
  };
  // Tokens that match the user's own text, and those that match it normalized. Cuts cover the text.
  std::vector<Cut> find_raw(std::string_view text) const { return find(raw_, text); }
  std::vector<Cut> find_normalized(std::string_view text) const { return find(normalized_, text); }

  std::optional<int32_t> id(std::string_view token) const;
  // The token as decoders see it: normalized if it is matched so. Null when there is none.
  const std::string* token(int32_t id) const;
  bool is_special(std::string_view token) const { return specials_.contains(std::string(token)); }
  // How many of them are not in the model's vocabulary.
  size_t new_tokens() const { return new_tokens_; }

 private:
  struct Token {
    std::string content;
    std::string shown;  // content, normalized where the token is matched so
    bool single_word;
    bool strip_left;
    bool strip_right;
  };

  AddedTokens(std::vector<PrefixSet::Entry> raw, std::vector<PrefixSet::Entry> normalized);
  std::vector<Cut> find(const PrefixSet& set, std::string_view text) const;
  bool stands_alone(std::string_view text, size_t begin, size_t end) const;

  PrefixSet raw_;
  PrefixSet normalized_;
  std::unordered_map<int32_t, Token> tokens_;
  std::unordered_map<std::string, int32_t> ids_;
  std::unordered_set<std::string> specials_;
  size_t new_tokens_ = 0;
};

}  // namespace strake::text
