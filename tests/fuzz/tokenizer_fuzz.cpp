// Any bytes as a tokenizer.json, and as a text for it: an Error or a result, no crash, no hang.
#include <cstdint>
#include <string_view>
#include <vector>

#include "strake/base/error.h"
#include "text/tokenizer.h"

namespace {

constexpr std::string_view kText =
    "The 1st test:\n\t it's <s>\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80</s>  aab_\xff\xcc\x81 ";

void use(const strake::Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text, strake::SpecialTokens::kAdd);
  const auto whole = tokenizer.decode(ids, strake::SkipSpecial::kSkip);
  strake::StreamDecoder stream(tokenizer, strake::SkipSpecial::kSkip);
  std::string parts;
  for (const int32_t id : ids) parts += stream.push(id);
  parts += stream.finish();
  if (parts != whole) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const auto tokenizer = strake::Tokenizer::parse(bytes, "fuzz");
    use(tokenizer, kText);
    use(tokenizer, bytes);
  } catch (const strake::Error&) {
  }
  return 0;
}
