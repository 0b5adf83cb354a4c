// GPT-2's printable alphabet for bytes: one character, below U+0144, for each byte.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace strake::text {

void append_byte_level(std::string& out, std::string_view bytes);

// The bytes that `token` (valid UTF-8) stands for; nothing when it leaves the alphabet.
std::optional<std::string> from_byte_level(std::string_view token);

}  // namespace strake::text
