#include "text/tokenizer_vocabulary.h"

#include <utility>

#include "base/fail.h"

namespace strake::text {

void Vocabulary::reserve(size_t tokens) {
  ids_.reserve(tokens);
  tokens_.reserve(tokens);
}

void Vocabulary::add(std::string_view token, int64_t id) {
  if (id < 0 || !std::in_range<int32_t>(id))
    fail(ErrorKind::kCheckpoint, "token '{}': expected an id from 0 to 2147483647, found {}", token,
         id);
  const auto narrow = static_cast<int32_t>(id);
  const auto [entry, fresh] = ids_.emplace(token, narrow);
  if (!fresh)
    fail(ErrorKind::kCheckpoint, "token '{}' stands twice, with ids {} and {}", token,
         entry->second, id);
  const auto [owner, free] = tokens_.emplace(narrow, &entry->first);
  if (!free)
    fail(ErrorKind::kCheckpoint, "id {} is given to two tokens, '{}' and '{}'", id, *owner->second,
         token);
}

std::optional<int32_t> Vocabulary::id(std::string_view token) const {
  const auto entry = ids_.find(token);
  if (entry == ids_.end()) return std::nullopt;
  return entry->second;
}

const std::string* Vocabulary::token(int32_t id) const {
  const auto entry = tokens_.find(id);
  return entry == tokens_.end() ? nullptr : entry->second;
}

}  // namespace strake::text
