#include "base/json.h"

#include <set>
#include <vector>

#include "base/fail.h"

namespace strake {
namespace {

// Values are copied and destroyed recursively, so their depth is bounded.
constexpr size_t kMaxDepth = 128;

// Builds a value from the parser's events. The library's own builder keeps the last of two equal
// keys without a word, and takes time that grows with the square of an object's size.
class Builder final : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view what, DuplicateKeys duplicates) : what_(what), duplicates_(duplicates) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { fail(ErrorKind::kInternal, "binary data in JSON text"); }

  bool start_object(size_t) override {
    keys_.emplace_back();
    return open(Json::object());
  }
  bool key(string_t& name) override {
    auto& members = *open_.back()->get_ptr<Json::object_t*>();
    if (keys_.back().insert(name).second) {
      members.push_back({std::move(name), Json()});
      slot_ = &members.back().second;
      return true;
    }
    if (duplicates_ == DuplicateKeys::kError)
      fail(ErrorKind::kCheckpoint, "{}: key '{}' stands twice in one object", what_, name);
    slot_ = &members.at(name);
    return true;
  }
  bool end_object() override {
    keys_.pop_back();
    open_.pop_back();
    return true;
  }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_array() override {
    open_.pop_back();
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    fail(ErrorKind::kCheckpoint, "{}: not valid JSON: {}", what_, error.what());
  }

 private:
  // Puts a value into the array, the member or the document that is open, and returns its place.
  Json* place(Json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    if (open_.back()->is_object()) return &(*slot_ = std::move(value));
    open_.back()->push_back(std::move(value));
    return &open_.back()->back();
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (open_.size() == kMaxDepth)
      fail(ErrorKind::kCheckpoint, "{}: nested deeper than {} levels", what_, kMaxDepth);
    open_.push_back(place(std::move(value)));
    return true;
  }

  std::string_view what_;
  DuplicateKeys duplicates_;
  Json root_;
  std::vector<Json*> open_;                  // objects and arrays around the current value
  std::vector<std::set<std::string>> keys_;  // of the open objects
  Json* slot_ = nullptr;                     // the member whose key came last
};

}  // namespace

Json parse_json(std::string_view text, std::string_view what, DuplicateKeys duplicates) {
  // The parser takes a zero byte for the end of the text.
  if (const size_t zero = text.find('\0'); zero != text.npos)
    fail(ErrorKind::kCheckpoint, "{}: not valid JSON: a zero byte at {}", what, zero);
  Builder builder(what, duplicates);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

std::string dump_json(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace strake
