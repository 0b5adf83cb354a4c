// A tokenizer.json in memory: values that know their place in the document, so that every
// message can name the field.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace strake::text {

// A value and its path ("model.merges[3]"). Valid as long as its JsonDocument.
// Every reader throws Error(kCheckpoint) with the path, the expected and the found kind.
class JsonNode {
 public:
  JsonNode(const nlohmann::json& value, std::string path)
      : value_(&value), path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  bool is_array() const;
  bool is_object() const;

  // A member; nothing when it is absent or null.
  std::optional<JsonNode> find(std::string_view key) const;
  // A member that must be there.
  JsonNode at(std::string_view key) const;
  std::vector<JsonNode> items() const;
  std::vector<std::pair<std::string, JsonNode>> members() const;

  const std::string& string() const;
  char32_t character() const;  // a string of one code point
  bool boolean() const;
  double number() const;
  int64_t integer() const;
  int32_t token_id() const;  // 0 .. 2^31 - 1

  // Bulk readers, which spend no path on each item. The views last as long as the document.
  std::vector<std::pair<std::string_view, int64_t>> integers_by_key() const;
  std::vector<std::pair<std::string_view, double>> scored_strings() const;  // [["a", -1.5], ...]
  // ["a b", ...] or [["a", "b"], ...]; "#version" lines are skipped.
  std::vector<std::pair<std::string_view, std::string_view>> string_pairs() const;

 private:
  [[noreturn]] void expected(std::string_view kind) const;

  const nlohmann::json* value_;
  std::string path_;
};

// The base layer's parser keeps members in file order and looks keys up one by one; this one sorts
// them, since a vocabulary is one object of a hundred thousand members.
class JsonDocument {
 public:
  // Throws Error(kCheckpoint) on malformed text, deep nesting or a repeated key.
  explicit JsonDocument(std::string_view text);
  ~JsonDocument();
  JsonNode root() const { return {*root_, ""}; }

 private:
  std::unique_ptr<const nlohmann::json> root_;
};

}  // namespace strake::text
