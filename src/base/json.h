// JSON from files and users: bounded depth, no duplicate keys, errors that name the document.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace strake {

using Json = nlohmann::ordered_json;

enum class DuplicateKeys { kError, kLastWins };

// Parses `text`. `what` names the document in messages ("config.json"). Throws Error(kCheckpoint)
// on malformed text, on nesting deeper than 128 and, unless told otherwise, on a repeated key.
Json parse_json(std::string_view text, std::string_view what,
                DuplicateKeys duplicates = DuplicateKeys::kError);

// Compact or indented text; invalid UTF-8 becomes U+FFFD instead of an exception.
std::string dump_json(const Json& json, int indent = -1);

}  // namespace strake
