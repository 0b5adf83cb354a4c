// Tokens and their ids, one to one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace strake::text {

class Vocabulary {
 public:
  void reserve(size_t tokens);
  // Throws Error(kCheckpoint) when the id is outside 0 .. 2^31 - 1, or the token or id is taken.
  void add(std::string_view token, int64_t id);

  std::optional<int32_t> id(std::string_view token) const;
  const std::string* token(int32_t id) const;  // null when there is none
  size_t size() const { return ids_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> ids_;
  std::unordered_map<int32_t, const std::string*> tokens_;  // the keys of ids_; ids may be sparse
};

}  // namespace strake::text
