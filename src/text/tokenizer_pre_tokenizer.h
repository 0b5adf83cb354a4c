// Cutting a text into pieces that the model encodes one by one.
#pragma once

#include <functional>

#include "text/tokenizer_json.h"
#include "text/tokenizer_text.h"

namespace strake::text {

// Safe to call from many threads.
using PreTokenizer = std::function<void(Pieces&)>;

// The "pre_tokenizer" of a tokenizer.json. Throws Error(kUnsupported) with the known types.
PreTokenizer parse_pre_tokenizer(const JsonNode& node);

}  // namespace strake::text
