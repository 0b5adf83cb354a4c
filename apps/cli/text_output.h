// The text of tokens as they come.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/generation.h"
#include "engine/stop_strings.h"
#include "text/tokenizer.h"

namespace strake::cli {

// Decodes tokens, and prints what has become final of their text up to a stop string.
class TextOutput {
 public:
  enum class Print { kYes, kNo };

  // Without a tokenizer the text is the tokens' ids.
  TextOutput(const std::optional<Tokenizer>& tokenizer, const std::vector<std::string>& stop,
             Print print);

  // Takes the next token; says whether the text ends with it.
  std::optional<FinishReason> push(int32_t token);
  // The whole text. Call once, after the last token.
  std::string finish();

 private:
  void add(const std::string& piece);

  std::optional<StreamDecoder> decoder_;
  StopStrings stop_;
  Print print_;
  std::string text_;
};

}  // namespace strake::cli
