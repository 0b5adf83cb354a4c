// Metaspace: SentencePiece's visible space, as pre-tokenizer and as decoder.
#pragma once

#include <string>

#include "text/tokenizer_json.h"

namespace strake::text {

enum class PrependScheme { kNever, kFirst, kAlways };

struct Metaspace {
  std::string replacement;  // one character
  PrependScheme prepend;    // before which pieces it is put, unless they start with it
  bool split;               // whether pieces end before it

  static Metaspace parse(const JsonNode& node);
};

}  // namespace strake::text
