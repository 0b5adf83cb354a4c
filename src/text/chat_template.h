// A model's chat template: messages in, the prompt's text out.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/jinja/template.h"

namespace strake {

struct ChatMessage {
  std::string role;
  std::string content;
};

// The JSON form that templates take: an array of {"role": ..., "content": ...}.
Json to_json(const std::vector<ChatMessage>& messages);

// Whether the text ends with the beginning of the assistant's turn.
enum class GenerationPrompt { kOmitted, kAdded };

class ChatTemplate {
 public:
  // Throws Error(kCheckpoint) with `what` and the line number on syntax errors.
  static ChatTemplate parse(std::string_view source, std::string_view what);

  // The template of a checkpoint, with its special tokens as variables (bos_token and so on):
  // chat_template.jinja, else chat_template.json, else tokenizer_config.json's "chat_template".
  // Of several named ones, "tool_use" serves where there are tools and "default" otherwise.
  // Nothing when the checkpoint has none.
  static std::optional<ChatTemplate> load(const std::filesystem::path& directory);

  // `messages` is an array; `extra` an object of further variables, such as tools, documents and
  // enable_thinking. Throws Error(kUsage) with the template's own message when it refuses them.
  std::string render(const Json& messages, GenerationPrompt prompt,
                     const Json& extra = Json::object()) const;

  // What strftime_now() says; the local time unless set.
  void set_clock(jinja::Clock clock) { clock_ = std::move(clock); }

 private:
  explicit ChatTemplate(jinja::Template main);
  jinja::Template main_;
  std::optional<jinja::Template> tool_use_;
  Json tokens_ = Json::object();  // special tokens by name
  jinja::Clock clock_;
};

}  // namespace strake
