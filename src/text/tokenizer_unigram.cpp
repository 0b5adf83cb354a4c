// Unigram: the cut of a word into tokens whose scores (log probabilities) have the largest sum.
#include <algorithm>
#include <limits>
#include <optional>
#include <string>

#include "base/fail.h"
#include "text/tokenizer_model.h"
#include "text/tokenizer_prefixes.h"
#include "text/tokenizer_unicode.h"

namespace strake::text {
namespace {

// How far an unknown character scores below the worst token.
constexpr double kUnknownPenalty = 10.0;

class Unigram : public Model {
 public:
  struct Options {
    std::optional<int32_t> unknown;
    bool byte_fallback = false;
  };

  Unigram(Vocabulary vocabulary, std::vector<PrefixSet::Entry> entries, std::vector<double> scores,
          Options options)
      : Model(std::move(vocabulary)),
        tokens_(std::move(entries)),
        scores_(std::move(scores)),
        unknown_score_(*std::min_element(scores_.begin(), scores_.end()) - kUnknownPenalty),
        options_(options),
        byte_tokens_(this->vocabulary()) {}

  void encode(const Pieces& pieces, std::vector<int32_t>& ids) const override {
    for (const Piece& piece : pieces.all()) {
      if (piece.token != kNoToken)
        ids.push_back(piece.token);
      else
        encode_word(pieces.view(piece), ids);
    }
  }

 private:
  // The best path that ends at a position: its last token and where that one starts.
  struct Step {
    double score = 0;
    int32_t token = kNoToken;
    size_t begin = kUnreached;
  };
  static constexpr size_t kUnreached = std::numeric_limits<size_t>::max();

  void encode_word(std::string_view text, std::vector<int32_t>& ids) const {
    const std::vector<Step> steps = best_steps(text);
    struct Cut {
      size_t begin;
      size_t end;
      int32_t token;
    };
    std::vector<Cut> cuts;  // last first; a run of unknown characters is one
    for (size_t end = text.size(); end > 0; end = steps[end].begin) {
      const Step& step = steps[end];
      if (!cuts.empty() && is_unknown(step.token) && is_unknown(cuts.back().token))
        cuts.back().begin = step.begin;
      else
        cuts.push_back({step.begin, end, step.token});
    }
    for (auto cut = cuts.rbegin(); cut != cuts.rend(); ++cut) {
      if (!is_unknown(cut->token)) {
        ids.push_back(cut->token);
        continue;
      }
      const std::string_view unknown = text.substr(cut->begin, cut->end - cut->begin);
      if (const auto id = vocabulary().id(unknown))
        ids.push_back(*id);
      else if (!options_.byte_fallback || !byte_tokens_.append(unknown, ids))
        ids.push_back(cut->token);
    }
  }

  // [text.size() + 1]: reached at every character boundary.
  std::vector<Step> best_steps(std::string_view text) const {
    std::vector<Step> steps(text.size() + 1);
    for (size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
      const double here = steps[at].score;
      const auto offer = [&](size_t size, int32_t token, double score) {
        Step& step = steps[at + size];
        if (step.begin == kUnreached || here + score > step.score) step = {here + score, token, at};
      };
      const size_t character = utf8_length(text[at]);
      bool covered = false;  // the single character is a token
      tokens_.each(text.substr(at), [&](const PrefixSet::Match& match) {
        covered |= match.size == character;
        offer(match.size, match.value, scores_[static_cast<size_t>(match.value)]);
      });
      if (covered) continue;
      if (!options_.unknown)
        fail(ErrorKind::kUnsupported, "no token for '{}', and the model has no unknown token",
             text.substr(at, character));
      offer(character, *options_.unknown, unknown_score_);
    }
    return steps;
  }

  bool is_unknown(int32_t token) const { return token == options_.unknown; }

  PrefixSet tokens_;
  std::vector<double> scores_;  // [tokens]
  double unknown_score_;
  Options options_;
  ByteTokens byte_tokens_;
};

}  // namespace

std::unique_ptr<Model> parse_unigram(const JsonNode& node) {
  const JsonNode vocab = node.at("vocab");
  Vocabulary vocabulary;
  std::vector<PrefixSet::Entry> entries;
  std::vector<double> scores;
  for (const auto& [token, score] : vocab.scored_strings()) {
    const size_t id = scores.size();
    vocabulary.add(token, static_cast<int64_t>(id));
    // An empty token can never be cut off.
    if (!token.empty()) entries.push_back({std::string(token), static_cast<int32_t>(id)});
    scores.push_back(score);
  }
  if (scores.empty()) fail(ErrorKind::kCheckpoint, "{}: empty", vocab.path());
  Unigram::Options options;
  if (const auto unknown = node.find("unk_id")) {
    options.unknown = unknown->token_id();
    if (static_cast<size_t>(*options.unknown) >= scores.size())
      fail(ErrorKind::kCheckpoint, "{}: {} tokens, found {}", unknown->path(), scores.size(),
           *options.unknown);
  }
  if (const auto fallback = node.find("byte_fallback")) options.byte_fallback = fallback->boolean();
  return std::make_unique<Unigram>(std::move(vocabulary), std::move(entries), std::move(scores),
                                   options);
}

}  // namespace strake::text
