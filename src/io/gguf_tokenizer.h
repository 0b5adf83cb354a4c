// tokenizer.json and tokenizer_config.json from GGUF's metadata.
#pragma once

#include <optional>

#include "base/json.h"
#include "io/gguf.h"

namespace strake {

struct ImportedTokenizer {
  Json tokenizer;  // tokenizer.json
  Json config;     // tokenizer_config.json, with the chat template
};

// Byte-level BPE ("gpt2") of the pre-tokenizers known. Nothing when the file has no tokenizer.
// Throws Error(kUnsupported) that lists the known models or pre-tokenizers, Error(kCheckpoint)
// when tokens repeat or ids lie outside the vocabulary.
std::optional<ImportedTokenizer> tokenizer_from_gguf(const GgufMetadata& metadata);

}  // namespace strake
