#include "prompt.h"

#include "base/fail.h"

namespace strake::cli {
namespace {

ChatTemplate require_template(const std::filesystem::path& model) {
  auto found = ChatTemplate::load(model);
  if (!found)
    fail(ErrorKind::kUsage, "{} has no chat template; use --prompt for plain text", model.string());
  return std::move(*found);
}

}  // namespace

Conversation::Conversation(const std::filesystem::path& model, const Tokenizer& tokenizer)
    : tokenizer_(tokenizer), template_(require_template(model)) {}

void Conversation::add(const std::string& role, const std::string& content) {
  messages_.push_back({{"role", role}, {"content", content}});
}

std::vector<int32_t> Conversation::tokens() const {
  // The template writes the special tokens itself.
  return tokenizer_.encode(template_.render(messages_, GenerationPrompt::kAdded),
                           SpecialTokens::kNone);
}

}  // namespace strake::cli
