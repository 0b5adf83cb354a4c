#include "text/tokenizer_pre_tokenizer.h"

#include <string>
#include <utility>
#include <vector>

#include "text/tokenizer_metaspace.h"
#include "text/tokenizer_registry.h"
#include "text/tokenizer_unicode.h"

namespace strake::text {
namespace {

constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// Words and runs of other visible characters, in the engine's own syntax.
constexpr std::string_view kWordPattern =
    R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}]+|)"
    R"([^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d}\p{White_Space}]+)";

enum class Matches { kAreDelimiters, kAreContent };

void split_by(Pieces& pieces, const Regex& regex, SplitBehavior behavior, Matches matches) {
  Regex::Scanner scanner(regex);
  pieces.split(
      [&](std::string_view text, std::vector<Stretch>& stretches) {
        scanner.scan(text, stretches);
        if (matches == Matches::kAreContent)
          for (Stretch& stretch : stretches) stretch.is_match = !stretch.is_match;
      },
      behavior);
}

PreTokenizer split_characters(bool (*is_match)(char32_t), SplitBehavior behavior) {
  return [scan = scan_characters(is_match), behavior](Pieces& pieces) {
    pieces.split(scan, behavior);
  };
}

PreTokenizer split(const JsonNode& node) {
  return [regex = Regex::parse(node.at("pattern")),
          behavior = parse_split_behavior(node.at("behavior")),
          matches = node.at("invert").boolean() ? Matches::kAreContent : Matches::kAreDelimiters](
             Pieces& pieces) { split_by(pieces, regex, behavior, matches); };
}

PreTokenizer byte_level(const JsonNode& node) {
  const bool add_space = node.at("add_prefix_space").boolean();
  const auto use_regex = node.find("use_regex");
  std::vector<Regex> regex;  // at most one
  if (!use_regex || use_regex->boolean())
    regex.emplace_back(kGpt2Pattern, Regex::Syntax::kOniguruma);
  return [add_space, regex = std::move(regex)](Pieces& pieces) {
    if (add_space)
      pieces.rewrite([](Rewritten& text) {
        if (!text.text.starts_with(' ')) text.prepend(" ");
      });
    for (const Regex& pattern : regex)
      split_by(pieces, pattern, SplitBehavior::kIsolated, Matches::kAreDelimiters);
    pieces.rewrite([](Rewritten& text) { text.to_byte_level(); });
  };
}

PreTokenizer metaspace(const JsonNode& node) {
  const Metaspace options = Metaspace::parse(node);
  return [options, space = Regex(" ", Regex::Syntax::kLiteral),
          mark = Regex(options.replacement, Regex::Syntax::kLiteral)](Pieces& pieces) {
    Regex::Scanner spaces(space);
    std::vector<Stretch> stretches;
    pieces.rewrite([&](Rewritten& text) {
      spaces.scan(text.text, stretches);
      text.replace(stretches, options.replacement);
      const bool wanted = options.prepend == PrependScheme::kAlways ||
                          (options.prepend == PrependScheme::kFirst && text.origin > 0);
      if (wanted && !text.text.starts_with(options.replacement)) text.prepend(options.replacement);
    });
    if (options.split)
      split_by(pieces, mark, SplitBehavior::kMergedWithNext, Matches::kAreDelimiters);
  };
}

PreTokenizer digits(const JsonNode& node) {
  return split_characters(is_numeric, node.at("individual_digits").boolean()
                                          ? SplitBehavior::kIsolated
                                          : SplitBehavior::kContiguous);
}

PreTokenizer punctuation(const JsonNode& node) {
  const auto behavior = node.find("behavior");
  return split_characters(is_punctuation,
                          behavior ? parse_split_behavior(*behavior) : SplitBehavior::kIsolated);
}

PreTokenizer whitespace(const JsonNode&) {
  return [regex = Regex(kWordPattern, Regex::Syntax::kPcre2)](Pieces& pieces) {
    split_by(pieces, regex, SplitBehavior::kRemoved, Matches::kAreContent);
  };
}

PreTokenizer whitespace_split(const JsonNode&) {
  return split_characters(is_whitespace, SplitBehavior::kRemoved);
}

PreTokenizer sequence(const JsonNode& node) {
  std::vector<PreTokenizer> parts;
  for (const JsonNode& part : node.at("pretokenizers").items())
    parts.push_back(parse_pre_tokenizer(part));
  return [parts = std::move(parts)](Pieces& pieces) {
    for (const PreTokenizer& part : parts) part(pieces);
  };
}

constexpr Maker<PreTokenizer> kMakers[] = {
    {"Sequence", sequence},       {"Split", split},
    {"ByteLevel", byte_level},    {"Digits", digits},
    {"Punctuation", punctuation}, {"Whitespace", whitespace},
    {"Metaspace", metaspace},     {"WhitespaceSplit", whitespace_split},
};

}  // namespace

PreTokenizer parse_pre_tokenizer(const JsonNode& node) { return make_component(node, kMakers); }

}  // namespace strake::text
