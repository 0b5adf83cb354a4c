#include "text/tokenizer_json.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "base/fail.h"
#include "text/tokenizer_unicode.h"

namespace strake::text {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDepth = 64;

// Builds the document from the parser's events, bounded in depth and without repeated keys.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Json take() { return std::move(root_); }

  bool null() override { return put(nullptr) != nullptr; }
  bool boolean(bool value) override { return put(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return put(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return put(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override {
    return put(value) != nullptr;
  }
  bool string(string_t& value) override { return put(std::move(value)) != nullptr; }
  bool binary(binary_t& value) override { return put(std::move(value)) != nullptr; }
  bool key(string_t& value) override {
    key_ = std::move(value);
    return true;
  }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(size_t, const std::string&, const Json::exception& error) override {
    fail(ErrorKind::kCheckpoint, "not valid JSON: {}", error.what());
  }

 private:
  template <class T>
  Json* put(T&& value) {
    if (open_.empty()) {
      root_ = Json(std::forward<T>(value));
      return &root_;
    }
    if (open_.back()->is_array()) {
      auto& array = open_.back()->get_ref<Json::array_t&>();
      return &array.emplace_back(std::forward<T>(value));
    }
    const auto [member, fresh] =
        open_.back()->get_ref<Json::object_t&>().emplace(std::move(key_), std::forward<T>(value));
    if (!fresh) fail(ErrorKind::kCheckpoint, "key '{}' stands twice in one object", member->first);
    return &member->second;
  }

  bool open(Json container) {
    if (open_.size() == kMaxDepth)
      fail(ErrorKind::kCheckpoint, "nested deeper than {} levels", kMaxDepth);
    open_.push_back(put(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Json*> open_;  // the containers around the current value, outermost first
  std::string key_;
};

std::unique_ptr<const Json> build(std::string_view text) {
  Builder builder;
  Json::sax_parse(text.begin(), text.end(), &builder);
  return std::make_unique<const Json>(builder.take());
}

std::optional<int64_t> as_integer(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && !std::in_range<int64_t>(value.get<uint64_t>()))
    return std::nullopt;
  return value.get<int64_t>();
}

std::string member_path(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

}  // namespace

JsonDocument::JsonDocument(std::string_view text) : root_(build(text)) {}

JsonDocument::~JsonDocument() = default;

void JsonNode::expected(std::string_view kind) const {
  fail(ErrorKind::kCheckpoint, "{}: expected {}, found {}", path_.empty() ? "the document" : path_,
       kind, value_->is_number() ? "the number " + value_->dump() : value_->type_name());
}

bool JsonNode::is_array() const { return value_->is_array(); }
bool JsonNode::is_object() const { return value_->is_object(); }

std::optional<JsonNode> JsonNode::find(std::string_view key) const {
  if (!value_->is_object()) expected("an object");
  const auto member = value_->find(key);
  if (member == value_->end() || member->is_null()) return std::nullopt;
  return JsonNode(*member, member_path(path_, key));
}

JsonNode JsonNode::at(std::string_view key) const {
  if (auto member = find(key)) return *std::move(member);
  fail(ErrorKind::kCheckpoint, "{}: missing", member_path(path_, key));
}

std::vector<JsonNode> JsonNode::items() const {
  if (!value_->is_array()) expected("an array");
  std::vector<JsonNode> items;
  for (const Json& item : *value_)
    items.emplace_back(item, fmt::format("{}[{}]", path_, items.size()));
  return items;
}

std::vector<std::pair<std::string, JsonNode>> JsonNode::members() const {
  if (!value_->is_object()) expected("an object");
  std::vector<std::pair<std::string, JsonNode>> members;
  for (const auto& [key, value] : value_->get_ref<const Json::object_t&>())
    members.emplace_back(key, JsonNode(value, member_path(path_, key)));
  return members;
}

const std::string& JsonNode::string() const {
  if (!value_->is_string()) expected("a string");
  return value_->get_ref<const std::string&>();
}

char32_t JsonNode::character() const {
  const std::string& text = string();
  if (text.empty() || utf8_length(text[0]) != text.size()) expected("a string of one character");
  size_t at = 0;
  return next_code_point(text, at);
}

bool JsonNode::boolean() const {
  if (!value_->is_boolean()) expected("true or false");
  return value_->get<bool>();
}

double JsonNode::number() const {
  if (!value_->is_number()) expected("a number");
  return value_->get<double>();
}

int64_t JsonNode::integer() const {
  const auto integer = as_integer(*value_);
  if (!integer) expected("an integer");
  return *integer;
}

int32_t JsonNode::token_id() const {
  const int64_t id = integer();
  if (id < 0 || id > std::numeric_limits<int32_t>::max())
    expected("a token id from 0 to 2147483647");
  return static_cast<int32_t>(id);
}

std::vector<std::pair<std::string_view, int64_t>> JsonNode::integers_by_key() const {
  if (!value_->is_object()) expected("an object");
  std::vector<std::pair<std::string_view, int64_t>> out;
  out.reserve(value_->size());
  for (const auto& [key, value] : value_->get_ref<const Json::object_t&>()) {
    const auto integer = as_integer(value);
    out.emplace_back(key, integer ? *integer : JsonNode(value, member_path(path_, key)).integer());
  }
  return out;
}

std::vector<std::pair<std::string_view, double>> JsonNode::scored_strings() const {
  if (!value_->is_array()) expected("an array");
  std::vector<std::pair<std::string_view, double>> out;
  out.reserve(value_->size());
  for (const Json& item : *value_) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_number())
      JsonNode(item, fmt::format("{}[{}]", path_, out.size())).expected("a [string, number] pair");
    out.emplace_back(item[0].get_ref<const std::string&>(), item[1].get<double>());
  }
  return out;
}

std::vector<std::pair<std::string_view, std::string_view>> JsonNode::string_pairs() const {
  if (!value_->is_array()) expected("an array");
  std::vector<std::pair<std::string_view, std::string_view>> out;
  out.reserve(value_->size());
  for (const Json& item : *value_) {
    if (item.is_array() && item.size() == 2 && item[0].is_string() && item[1].is_string()) {
      out.emplace_back(item[0].get_ref<const std::string&>(),
                       item[1].get_ref<const std::string&>());
      continue;
    }
    if (item.is_string()) {
      const std::string_view line = item.get_ref<const std::string&>();
      if (line.starts_with("#version")) continue;
      const size_t space = line.find(' ');
      if (space != line.npos && line.find(' ', space + 1) == line.npos) {
        out.emplace_back(line.substr(0, space), line.substr(space + 1));
        continue;
      }
    }
    JsonNode(item, fmt::format("{}[{}]", path_, &item - &(*value_)[0]))
        .expected("\"a b\" or [\"a\", \"b\"]");
  }
  return out;
}

}  // namespace strake::text
