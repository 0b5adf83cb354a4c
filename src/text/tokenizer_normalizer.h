// Rewriting of a text before it is cut: normal forms, case, replacements.
#pragma once

#include <functional>

#include "text/tokenizer_json.h"
#include "text/tokenizer_text.h"

namespace strake::text {

// Safe to call from many threads.
using Normalizer = std::function<void(Rewritten&)>;

// The "normalizer" of a tokenizer.json. Throws Error(kUnsupported) with the known types.
Normalizer parse_normalizer(const JsonNode& node);

}  // namespace strake::text
