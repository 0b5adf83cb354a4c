#include "text/tokenizer_added_tokens.h"

#include <algorithm>
#include <utility>

#include "base/fail.h"
#include "text/tokenizer_unicode.h"

namespace strake::text {

AddedTokens::AddedTokens(std::vector<PrefixSet::Entry> raw,
                         std::vector<PrefixSet::Entry> normalized)
    : raw_(std::move(raw)), normalized_(std::move(normalized)) {}

AddedTokens AddedTokens::parse(const JsonNode& node, const Context& context) {
  std::vector<PrefixSet::Entry> raw;
  std::vector<PrefixSet::Entry> normalized;
  std::unordered_map<int32_t, Token> tokens;
  std::unordered_map<std::string, int32_t> ids;
  std::unordered_set<std::string> specials;
  size_t new_tokens = 0;
  for (const JsonNode& item : node.items()) {
    const JsonNode text = item.at("content");
    const std::string& content = text.string();
    if (content.empty()) continue;
    // A token of the model keeps its id; new ones follow the vocabulary in the order of the list.
    const auto known = context.vocabulary.id(content);
    const auto expected =
        known ? int64_t{*known} : static_cast<int64_t>(context.vocabulary.size() + new_tokens);
    const int32_t id = item.at("id").token_id();
    if (id != expected)
      fail(ErrorKind::kCheckpoint, "{}: '{}' has id {}, expected {} from the {}", item.path(),
           content, id, expected, known ? "vocabulary" : "order of the list");
    if (!known) ++new_tokens;
    if (!ids.emplace(content, id).second)
      fail(ErrorKind::kCheckpoint, "{}: '{}' stands twice", item.path(), content);

    Rewritten shown;
    shown.text = content;
    const bool is_normalized = item.at("normalized").boolean();
    if (is_normalized && context.normalizer) context.normalizer(shown);
    (is_normalized ? normalized : raw).push_back({shown.text, id});
    if (item.at("special").boolean()) specials.insert(content);
    tokens.emplace(id, Token{content, shown.text, item.at("single_word").boolean(),
                             item.at("lstrip").boolean(), item.at("rstrip").boolean()});
  }
  AddedTokens added(std::move(raw), std::move(normalized));
  added.tokens_ = std::move(tokens);
  added.ids_ = std::move(ids);
  added.specials_ = std::move(specials);
  added.new_tokens_ = new_tokens;
  return added;
}

// No letter, digit or underscore of any script next to [begin, end).
bool AddedTokens::stands_alone(std::string_view text, size_t begin, size_t end) const {
  size_t before = begin;
  size_t behind = end;
  return (begin == 0 || !is_word(previous_code_point(text, before))) &&
         (end == text.size() || !is_word(next_code_point(text, behind)));
}

std::vector<AddedTokens::Cut> AddedTokens::find(const PrefixSet& set, std::string_view text) const {
  std::vector<Cut> cuts;
  size_t done = 0;                          // everything before is in a cut
  size_t spaces_begin = 0, spaces_end = 0;  // the last run of white space seen behind a token
  for (size_t at = 0; at < text.size();) {
    const auto match = set.longest(text.substr(at));
    if (!match) {
      ++at;
      continue;
    }
    const Token& token = tokens_.at(match->value);
    size_t begin = at;
    size_t end = at + match->size;
    at = end;  // also past one that is discarded
    if (token.single_word && !stands_alone(text, begin, end)) continue;
    if (token.strip_left) {
      // Space that an earlier token took is gone; a token of nothing but such space is, too.
      begin = std::max(begin, done);
      for (size_t before = begin; before > done; begin = before)
        if (!is_whitespace(previous_code_point(text, before))) break;
    }
    if (token.strip_right) {
      if (end < spaces_begin || end > spaces_end) {
        spaces_begin = spaces_end = end;
        for (size_t behind = end; behind < text.size(); spaces_end = behind)
          if (!is_whitespace(next_code_point(text, behind))) break;
      }
      end = spaces_end;
    }
    if (done < begin) cuts.push_back({done, begin, kNoToken});
    if (begin < end) cuts.push_back({begin, end, match->value});
    done = end;
  }
  if (done < text.size()) cuts.push_back({done, text.size(), kNoToken});
  return cuts;
}

std::optional<int32_t> AddedTokens::id(std::string_view token) const {
  const auto entry = ids_.find(std::string(token));
  if (entry == ids_.end()) return std::nullopt;
  return entry->second;
}

const std::string* AddedTokens::token(int32_t id) const {
  const auto entry = tokens_.find(id);
  return entry == tokens_.end() ? nullptr : &entry->second.shown;
}

}  // namespace strake::text
