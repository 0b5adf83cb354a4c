#include "text/tokenizer_post_processor.h"

#include "base/fail.h"

namespace strake::text {

PostProcessor PostProcessor::parse(const JsonNode& node) {
  PostProcessor processor;
  processor.add(node);
  return processor;
}

void PostProcessor::add(const JsonNode& node) {
  const JsonNode type = node.at("type");
  if (type.string() == "Sequence") {
    for (const JsonNode& part : node.at("processors").items()) add(part);
  } else if (type.string() == "TemplateProcessing") {
    if (template_)
      fail(ErrorKind::kUnsupported, "{}: a second TemplateProcessing is not supported",
           node.path());
    template_ = parse_template(node);
  } else if (type.string() != "ByteLevel") {  // which only trims offsets
    fail(ErrorKind::kUnsupported,
         "{}: '{}' is not known; known are Sequence TemplateProcessing ByteLevel", type.path(),
         type.string());
  }
}

PostProcessor::Template PostProcessor::parse_template(const JsonNode& node) {
  const JsonNode special_tokens = node.at("special_tokens");
  Template items;
  for (const JsonNode& item : node.at("single").items()) {
    if (const auto sequence = item.find("Sequence")) {
      const JsonNode id = sequence->at("id");
      if (id.string() != "A")
        fail(ErrorKind::kCheckpoint, "{}: one text has only sequence A, found '{}'", id.path(),
             id.string());
      items.emplace_back(Text{});
    } else {
      std::vector<int32_t> ids;
      const JsonNode name = item.at("SpecialToken").at("id");
      for (const JsonNode& id : special_tokens.at(name.string()).at("ids").items())
        ids.push_back(id.token_id());
      items.emplace_back(std::move(ids));
    }
  }
  return items;
}

std::vector<int32_t> PostProcessor::apply(std::vector<int32_t> ids, SpecialTokens special) const {
  if (!template_) return ids;
  std::vector<int32_t> out;
  out.reserve(ids.size() + template_->size());
  for (const Item& item : *template_) {
    const auto* tokens = std::get_if<std::vector<int32_t>>(&item);
    if (tokens && special == SpecialTokens::kNone) continue;
    const std::vector<int32_t>& part = tokens ? *tokens : ids;
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

}  // namespace strake::text
