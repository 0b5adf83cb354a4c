#include "text/tokenizer_normalizer.h"

#include <string>
#include <utility>
#include <vector>

#include "text/tokenizer_registry.h"
#include "text/tokenizer_unicode.h"

namespace strake::text {
namespace {

// Rewrites the whole text with a function that keeps its order. The bytes that stem from the first
// character are those of that character's own image where the image starts the result.
template <class Map>
Normalizer mapping(Map map) {
  return [map](Rewritten& text) {
    std::string mapped = map(text.text);
    if (text.origin > 0) {
      const std::string image = map(std::string_view(text.text).substr(0, text.origin));
      if (mapped.starts_with(image))
        text.origin = image.size();
      else
        text.origin = utf8_length(mapped[0]);
    }
    text.text = std::move(mapped);
  };
}

Normalizer normal_form(NormalForm form) {
  return mapping([form](std::string_view text) { return to_normal_form(text, form); });
}

Normalizer strip(const JsonNode& node) {
  const bool left = node.at("strip_left").boolean();
  const bool right = node.at("strip_right").boolean();
  return [left, right](Rewritten& text) {
    const std::string_view whole = text.text;
    size_t end = whole.size();
    for (size_t before = end; right && before > 0; end = before)
      if (!is_whitespace(previous_code_point(whole, before))) break;
    size_t begin = 0;
    for (size_t behind = 0; left && behind < end; begin = behind)
      if (!is_whitespace(next_code_point(whole, behind))) break;
    text = text.slice(begin, end);
  };
}

void strip_accents(Rewritten& text) {
  std::string kept;
  size_t origin = 0;
  for (size_t at = 0; at < text.text.size();) {
    const size_t begin = at;
    if (!is_mark(next_code_point(text.text, at))) kept.append(text.text, begin, at - begin);
    if (at <= text.origin) origin = kept.size();
  }
  text.text = std::move(kept);
  text.origin = origin;
}

Normalizer replace(const JsonNode& node) {
  return [regex = Regex::parse(node.at("pattern")),
          content = node.at("content").string()](Rewritten& text) {
    std::vector<Stretch> stretches;
    Regex::Scanner(regex).scan(text.text, stretches);
    text.replace(stretches, content);
  };
}

Normalizer sequence(const JsonNode& node) {
  std::vector<Normalizer> parts;
  for (const JsonNode& part : node.at("normalizers").items())
    parts.push_back(parse_normalizer(part));
  return [parts = std::move(parts)](Rewritten& text) {
    for (const Normalizer& part : parts) part(text);
  };
}

Normalizer prepend(const JsonNode& node) {
  return [prefix = node.at("prepend").string()](Rewritten& text) { text.prepend(prefix); };
}

constexpr Maker<Normalizer> kMakers[] = {
    {"Sequence", sequence},
    {"NFC", [](const JsonNode&) { return normal_form(NormalForm::kNfc); }},
    {"NFD", [](const JsonNode&) { return normal_form(NormalForm::kNfd); }},
    {"NFKC", [](const JsonNode&) { return normal_form(NormalForm::kNfkc); }},
    {"NFKD", [](const JsonNode&) { return normal_form(NormalForm::kNfkd); }},
    {"Lowercase", [](const JsonNode&) { return mapping(to_lowercase); }},
    {"Strip", strip},
    {"StripAccents", [](const JsonNode&) { return Normalizer(strip_accents); }},
    {"Prepend", prepend},
    {"Replace", replace},
    {"ByteLevel",
     [](const JsonNode&) { return Normalizer([](Rewritten& text) { text.to_byte_level(); }); }},
};

}  // namespace

Normalizer parse_normalizer(const JsonNode& node) { return make_component(node, kMakers); }

}  // namespace strake::text
