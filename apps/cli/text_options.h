// Options of how a text is generated, common to generate and chat.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/generation.h"
#include "engine/session.h"
#include "text/tokenizer.h"

namespace strake::cli {

struct TextOptions {
  GenerationOptions generation;
  std::vector<std::string> stop;  // strings that end a text

  // Throws Error(kUsage) naming the option that is out of its range.
  void check() const;
  // `generation` with the tokens that the model at hand ends texts with, and those that XTC leaves
  // alone. Throws Error(kUsage) on stop strings where there is no tokenizer.
  GenerationOptions with_tokens_of(const Session& session,
                                   const std::optional<Tokenizer>& tokenizer) const;
};

void add_text_options(CLI::App& command, TextOptions& options);  // but --max-tokens

}  // namespace strake::cli
