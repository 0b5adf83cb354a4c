#include "text/tokenizer_byte_level.h"

#include <array>

#include "text/tokenizer_unicode.h"

namespace strake::text {
namespace {

constexpr bool is_printable(int byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

// Printable Latin-1 bytes stand for themselves, the others follow from U+0100 on.
constexpr std::array<char32_t, 256> kCharacterOf = [] {
  std::array<char32_t, 256> characters{};
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte)
    characters[static_cast<size_t>(byte)] =
        is_printable(byte) ? static_cast<char32_t>(byte) : next++;
  return characters;
}();

constexpr int kNoByte = -1;
constexpr std::array<int, 0x144> kByteOf = [] {
  std::array<int, 0x144> bytes{};
  for (int& byte : bytes) byte = kNoByte;
  for (size_t byte = 0; byte < 256; ++byte) bytes[kCharacterOf[byte]] = static_cast<int>(byte);
  return bytes;
}();

}  // namespace

void append_byte_level(std::string& out, std::string_view bytes) {
  for (const char byte : bytes) append_utf8(out, kCharacterOf[static_cast<unsigned char>(byte)]);
}

std::optional<std::string> from_byte_level(std::string_view token) {
  std::string bytes;
  for (size_t at = 0; at < token.size();) {
    const char32_t code = next_code_point(token, at);
    if (code >= kByteOf.size() || kByteOf[code] == kNoByte) return std::nullopt;
    bytes.push_back(static_cast<char>(kByteOf[code]));
  }
  return bytes;
}

}  // namespace strake::text
