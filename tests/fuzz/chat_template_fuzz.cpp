// Any bytes as a chat template, rendered over a conversation: an Error or text, no crash, no hang.
#include <cstdint>
#include <ctime>
#include <string_view>

#include "base/json.h"
#include "strake/base/error.h"
#include "text/jinja/template.h"

namespace {

const strake::Json& variables() {
  static const strake::Json json = strake::parse_json(R"({
    "messages": [{"role": "system", "content": " S "}, {"role": "user", "content": "Hé 日"},
                 {"role": "assistant", "content": null, "tool_calls": [
                   {"function": {"name": "f", "arguments": {"a": [1, 2.5, true, "x"]}}}]},
                 {"role": "tool", "content": "<think>\n1</think>2"}],
    "tools": [{"function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "add_generation_prompt": true, "bos_token": "<s>", "n": 7, "f": -0.5, "e": []})",
                                                      "conversation");
  return json;
}

std::tm epoch() { return {}; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // Small enough for a sanitizer's speed; the limits themselves are tested elsewhere.
  const strake::jinja::Limits limits{.steps = 200'000, .bytes = 64 << 20};
  try {
    strake::jinja::Template::parse(bytes, "fuzz").render(variables(), epoch, limits);
  } catch (const strake::Error&) {
  }
  return 0;
}
