// What is put around the ids of a text: begin- and end-of-sequence tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer_json.h"

namespace strake::text {

class PostProcessor {
 public:
  // Leaves the ids as they are.
  PostProcessor() = default;
  // The "post_processor" of a tokenizer.json: TemplateProcessing, ByteLevel or a Sequence of them.
  // Throws Error(kUnsupported) on another type, Error(kCheckpoint) on a template that names a
  // token it does not define.
  static PostProcessor parse(const JsonNode& node);

  std::vector<int32_t> apply(std::vector<int32_t> ids, SpecialTokens special) const;

 private:
  struct Text {};  // where the text's own ids go
  using Item = std::variant<Text, std::vector<int32_t>>;
  using Template = std::vector<Item>;

  void add(const JsonNode& node);
  static Template parse_template(const JsonNode& node);

  std::optional<Template> template_;
};

}  // namespace strake::text
