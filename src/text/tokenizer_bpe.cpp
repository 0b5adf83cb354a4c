// Byte-pair encoding: a word's characters are merged pairwise, the merge of lowest rank first.
#include <algorithm>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/fail.h"
#include "text/tokenizer_model.h"
#include "text/tokenizer_unicode.h"

namespace strake::text {
namespace {

struct Merge {
  uint32_t rank;
  int32_t result;
};

using Merges = std::unordered_map<uint64_t, Merge>;

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}

// One word being merged: a list of symbols and a queue of the merges that may apply.
class Word {
 public:
  explicit Word(const Merges& merges) : merges_(merges) {}

  // Replaces `ids` from position `begin` on by what merging leaves.
  void merge(std::vector<int32_t>& ids, size_t begin) {
    symbols_.clear();
    for (size_t i = begin; i < ids.size(); ++i) {
      const auto at = static_cast<int64_t>(i - begin);
      symbols_.push_back({ids[i], at - 1, i + 1 < ids.size() ? at + 1 : kNone});
    }
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) offer(static_cast<int64_t>(i));
    while (!queue_.empty()) {
      const Candidate candidate = queue_.top();
      queue_.pop();
      apply(candidate);
    }
    ids.resize(begin);
    if (symbols_.empty()) return;
    for (int64_t at = 0; at != kNone; at = symbol(at).next) ids.push_back(symbol(at).id);
  }

 private:
  static constexpr int64_t kNone = -1;
  struct Symbol {
    int32_t id;  // kNoToken: merged into the symbol on its left
    int64_t previous;
    int64_t next;
  };
  struct Candidate {
    Merge merge;
    int64_t at;                                     // of the left symbol
    bool operator<(const Candidate& other) const {  // the queue's top is its largest
      return std::pair(merge.rank, at) > std::pair(other.merge.rank, other.at);
    }
  };

  Symbol& symbol(int64_t at) { return symbols_[static_cast<size_t>(at)]; }

  void offer(int64_t at) {
    if (at == kNone || symbol(at).next == kNone) return;
    const auto found = merges_.find(pair_key(symbol(at).id, symbol(symbol(at).next).id));
    if (found != merges_.end()) queue_.push({found->second, at});
  }

  void apply(const Candidate& candidate) {
    Symbol& left = symbol(candidate.at);
    if (left.id == kNoToken || left.next == kNone) return;
    Symbol& right = symbol(left.next);
    // The pair may have changed since it was queued.
    const auto found = merges_.find(pair_key(left.id, right.id));
    if (found == merges_.end() || found->second.result != candidate.merge.result) return;
    left.id = candidate.merge.result;
    left.next = right.next;
    right.id = kNoToken;
    if (left.next != kNone) symbol(left.next).previous = candidate.at;
    offer(left.previous);
    offer(candidate.at);
  }

  const Merges& merges_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate> queue_;
};

struct BpeOptions {
  std::string unknown;  // the token for unknown characters; empty: they are dropped
  std::string prefix;   // put before every character of a word but the first
  std::string suffix;   // put behind a word's last character
  bool fuse_unknown = false;
  bool byte_fallback = false;
  bool ignore_merges = false;  // a whole word that is a token stays one
};

class Bpe : public Model {
 public:
  Bpe(Vocabulary vocabulary, Merges merges, BpeOptions options)
      : Model(std::move(vocabulary)),
        merges_(std::move(merges)),
        options_(std::move(options)),
        byte_tokens_(this->vocabulary()) {}

  void encode(const Pieces& pieces, std::vector<int32_t>& ids) const override {
    // Words repeat within a text: positions of their ids in `ids`, for this call only.
    std::unordered_map<std::string_view, std::pair<size_t, size_t>> seen;
    Word word(merges_);
    for (const Piece& piece : pieces.all()) {
      const std::string_view text = pieces.view(piece);
      if (piece.token != kNoToken) {
        ids.push_back(piece.token);
        continue;
      }
      const auto [known, fresh] = seen.try_emplace(text, ids.size(), 0);
      auto& [begin, count] = known->second;
      if (fresh) {
        encode_word(text, word, ids);
        count = ids.size() - begin;
      } else {
        for (size_t i = 0; i < count; ++i) ids.push_back(int32_t{ids[begin + i]});
      }
    }
  }

 private:
  void encode_word(std::string_view text, Word& word, std::vector<int32_t>& ids) const {
    if (options_.ignore_merges) {
      if (const auto id = vocabulary().id(text)) {
        ids.push_back(*id);
        return;
      }
    }
    const size_t begin = ids.size();
    append_characters(text, ids);
    word.merge(ids, begin);
  }

  void append_characters(std::string_view text, std::vector<int32_t>& ids) const {
    bool pending_unknown = false;  // appended late, so that a run of them can become one
    std::string symbol;
    for (size_t at = 0; at < text.size();) {
      const size_t size = utf8_length(text[at]);
      symbol.clear();
      if (at > 0) symbol += options_.prefix;
      symbol += text.substr(at, size);
      at += size;
      if (at == text.size()) symbol += options_.suffix;

      if (const auto id = vocabulary().id(symbol)) {
        if (std::exchange(pending_unknown, false)) ids.push_back(unknown_id());
        ids.push_back(*id);
        continue;
      }
      if (options_.byte_fallback && byte_tokens_.append(symbol, ids)) continue;
      if (options_.unknown.empty()) continue;
      if (pending_unknown && !options_.fuse_unknown) ids.push_back(unknown_id());
      pending_unknown = true;
    }
    if (pending_unknown) ids.push_back(unknown_id());
  }

  int32_t unknown_id() const {
    if (const auto id = vocabulary().id(options_.unknown)) return *id;
    fail(ErrorKind::kCheckpoint, "model.unk_token: '{}' is needed, but not in the vocabulary",
         options_.unknown);
  }

  Merges merges_;
  BpeOptions options_;
  ByteTokens byte_tokens_;
};

BpeOptions parse_options(const JsonNode& node) {
  BpeOptions options;
  const auto text = [&](const char* key, std::string& out) {
    if (const auto field = node.find(key)) out = field->string();
  };
  const auto flag = [&](const char* key, bool& out) {
    if (const auto field = node.find(key)) out = field->boolean();
  };
  text("unk_token", options.unknown);
  text("continuing_subword_prefix", options.prefix);
  text("end_of_word_suffix", options.suffix);
  flag("fuse_unk", options.fuse_unknown);
  flag("byte_fallback", options.byte_fallback);
  flag("ignore_merges", options.ignore_merges);
  if (const auto dropout = node.find("dropout"); dropout && dropout->number() != 0)
    fail(ErrorKind::kUnsupported, "{}: random merges are not supported, found {}", dropout->path(),
         dropout->number());
  return options;
}

}  // namespace

std::unique_ptr<Model> parse_bpe(const JsonNode& node) {
  BpeOptions options = parse_options(node);
  const auto tokens = node.at("vocab").integers_by_key();
  Vocabulary vocabulary;
  vocabulary.reserve(tokens.size());
  for (const auto& [token, id] : tokens) vocabulary.add(token, id);

  const auto pairs = node.at("merges").string_pairs();
  if (!std::in_range<uint32_t>(pairs.size()))
    fail(ErrorKind::kCheckpoint, "model.merges: {} are too many", pairs.size());
  Merges merges;
  merges.reserve(pairs.size());
  std::string merged;
  for (size_t rank = 0; rank < pairs.size(); ++rank) {
    const std::string_view left = pairs[rank].first;
    const std::string_view right = pairs[rank].second;
    const auto known = [&](std::string_view token) {
      if (const auto id = vocabulary.id(token)) return *id;
      fail(ErrorKind::kCheckpoint,
           "model.merges[{}] of '{}' and '{}': '{}' is not in the vocabulary", rank, left, right,
           token);
    };
    const uint64_t key = pair_key(known(left), known(right));
    if (right.size() < options.prefix.size())
      fail(ErrorKind::kCheckpoint, "model.merges[{}]: '{}' is shorter than the prefix '{}'", rank,
           right, options.prefix);
    merged = left;
    merged += right.substr(options.prefix.size());
    merges[key] = {static_cast<uint32_t>(rank), known(merged)};
  }
  return std::make_unique<Bpe>(std::move(vocabulary), std::move(merges), std::move(options));
}

}  // namespace strake::text
