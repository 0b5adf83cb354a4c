// The text on its way to the model: rewritten by normalizers, cut into pieces by pre-tokenizers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_json.h"
#include "text/tokenizer_regex.h"

namespace strake::text {

// How long rewriting may make a short text: steps that double it, put in a row, must not take all
// memory.
constexpr size_t kTextLimit = size_t{1} << 22;

// A text under rewriting (valid UTF-8). What makes it longer than `limit` bytes throws
// Error(kUnsupported).
struct Rewritten {
  std::string text;
  // Leading bytes that stem from the very first character of the user's text; 0 when none do.
  // Metaspace's "first" scheme asks whether a piece starts there.
  size_t origin = 0;
  size_t limit = kTextLimit;

  // Does nothing to an empty text.
  void prepend(std::string_view prefix);
  // Puts `content` in the place of each match; `stretches` cover the text.
  void replace(const std::vector<Stretch>& stretches, std::string_view content);
  Rewritten slice(size_t begin, size_t end) const;
  void to_byte_level();
};

// What becomes of the matches of a splitting pattern.
enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
SplitBehavior parse_split_behavior(const JsonNode& node);

constexpr int32_t kNoToken = -1;

// A stretch of Pieces::text: an added token, or text for the model.
struct Piece {
  size_t begin;
  size_t end;
  size_t origin;  // as in Rewritten
  int32_t token;  // kNoToken: text
};

class Pieces {
 public:
  // Cuts its argument into stretches that cover it.
  using Scan = std::function<void(std::string_view, std::vector<Stretch>&)>;
  using Rewrite = std::function<void(Rewritten&)>;

  // Throws Error(kUnsupported) when the pieces, put together, become longer than `limit` bytes.
  explicit Pieces(size_t limit) : limit_(limit) {}

  void append_text(const Rewritten& text);
  void append_token(int32_t id);

  void split(const Scan& scan, SplitBehavior behavior);
  void rewrite(const Rewrite& rewrite);

  const std::vector<Piece>& all() const { return pieces_; }
  std::string_view view(const Piece& piece) const {
    return std::string_view(text_).substr(piece.begin, piece.end - piece.begin);
  }

 private:
  size_t limit_;
  std::string text_;
  std::vector<Piece> pieces_;  // in order; text pieces are never empty
};

// A scan for the characters that `is_match` holds for, each a match of its own.
Pieces::Scan scan_characters(bool (*is_match)(char32_t));

}  // namespace strake::text
