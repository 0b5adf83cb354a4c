#include "text/tokenizer_model.h"

#include <algorithm>

#include "base/fail.h"

namespace strake::text {

std::unique_ptr<Model> parse_model(const JsonNode& node) {
  const auto type = node.find("type");
  // Early files name no type; their models differ by their fields.
  if (type ? type->string() == "BPE" : node.find("merges").has_value()) return parse_bpe(node);
  if (type ? type->string() == "Unigram" : node.at("vocab").is_array()) return parse_unigram(node);
  fail(ErrorKind::kUnsupported, "model.type: '{}' is not known; known are BPE Unigram",
       type ? type->string() : "none");
}

ByteTokens::ByteTokens(const Vocabulary& vocabulary) {
  for (size_t byte = 0; byte < ids_.size(); ++byte)
    ids_[byte] = vocabulary.id(fmt::format("<0x{:02X}>", byte)).value_or(kNoToken);
}

bool ByteTokens::append(std::string_view bytes, std::vector<int32_t>& ids) const {
  const auto id = [&](char byte) { return ids_[static_cast<unsigned char>(byte)]; };
  if (std::any_of(bytes.begin(), bytes.end(), [&](char byte) { return id(byte) == kNoToken; }))
    return false;
  for (const char byte : bytes) ids.push_back(id(byte));
  return true;
}

}  // namespace strake::text
