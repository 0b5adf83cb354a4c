// What a model is asked, as token ids.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace strake::cli {

// Messages of a conversation to tokens, by the model's own template.
class Conversation {
 public:
  // Throws Error(kUsage) when the checkpoint has no chat template.
  Conversation(const std::filesystem::path& model, const Tokenizer& tokenizer);

  void add(const std::string& role, const std::string& content);
  void remove_last() { messages_.erase(messages_.size() - 1); }
  void clear() { messages_ = Json::array(); }
  // All messages and the opening of the assistant's answer.
  std::vector<int32_t> tokens() const;

 private:
  const Tokenizer& tokenizer_;
  ChatTemplate template_;
  Json messages_ = Json::array();
};

}  // namespace strake::cli
