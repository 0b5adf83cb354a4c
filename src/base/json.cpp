#include "base/json.h"

#include <set>
#include <vector>

#include "base/fail.h"

namespace strake {
namespace {

// The library's parser recurses when a value is copied or destroyed, so the depth is bounded
// while parsing. It also keeps the last of two equal keys without a word.
constexpr int kMaxDepth = 128;

}  // namespace

Json parse_json(std::string_view text, std::string_view what, DuplicateKeys duplicates) {
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        if (depth >= kMaxDepth)
          fail(ErrorKind::kCheckpoint, "{}: nested deeper than {} levels", what, kMaxDepth);
        if (event == Json::parse_event_t::object_start) keys.emplace_back();
        break;
      case Json::parse_event_t::object_end: keys.pop_back(); break;
      case Json::parse_event_t::key:
        if (!keys.back().insert(parsed.get<std::string>()).second &&
            duplicates == DuplicateKeys::kError)
          fail(ErrorKind::kCheckpoint, "{}: key '{}' stands twice in one object", what,
               parsed.get<std::string>());
        break;
      case Json::parse_event_t::array_end:
      case Json::parse_event_t::value: break;
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), check);
  } catch (const Json::exception& error) {
    fail(ErrorKind::kCheckpoint, "{}: not valid JSON: {}", what, error.what());
  }
}

std::string dump_json(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace strake
