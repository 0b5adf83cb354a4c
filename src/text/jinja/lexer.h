// A template's source as tokens: text, tags, and the words inside the tags.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace strake::jinja {

enum class TokenKind {
  kData,           // text between tags, white space control already applied
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,
  kNumber,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind;
  int line;
  std::string text;  // of data, names and operators
  Value value;       // of strings and numbers

  bool is(TokenKind other, std::string_view other_text) const {
    return kind == other && text == other_text;
  }
  std::string describe() const;
};

// Throws Error(kCheckpoint) with `what` and the line on malformed source.
std::vector<Token> tokenize(std::string_view source, std::string_view what);

}  // namespace strake::jinja
