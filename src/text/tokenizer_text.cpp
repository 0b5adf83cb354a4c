#include "text/tokenizer_text.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/fail.h"
#include "text/tokenizer_byte_level.h"
#include "text/tokenizer_unicode.h"

namespace strake::text {
namespace {

constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kBehaviors{
    {{"Removed", SplitBehavior::kRemoved},
     {"Isolated", SplitBehavior::kIsolated},
     {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
     {"MergedWithNext", SplitBehavior::kMergedWithNext},
     {"Contiguous", SplitBehavior::kContiguous}}};

void check_size(const std::string& text, size_t limit) {
  if (text.size() > limit)
    fail(ErrorKind::kUnsupported, "rewriting makes the text longer than {} bytes", limit);
}

// How much of the leading `origin` bytes is in [begin, end).
size_t overlap(size_t origin, size_t begin, size_t end) {
  return std::clamp(origin, begin, end) - begin;
}

// Joins stretches in place, in the order given; `grow` extends the stretch kept last.
template <class Iterator, class Joins, class Grow>
Iterator join(Iterator begin, Iterator end, Joins joins, Grow grow) {
  Iterator kept = begin;  // behind the last one kept
  bool previous = false;
  for (Iterator it = begin; it != end; ++it) {
    const Stretch current = *it;
    if (kept != begin && joins(current.is_match, previous))
      grow(*(kept - 1), current);
    else
      *kept++ = current;
    previous = current.is_match;
  }
  return kept;
}

// Leaves the stretches that become pieces.
void apply(SplitBehavior behavior, std::vector<Stretch>& stretches) {
  const auto first_match = [](bool match, bool previous) { return match && !previous; };
  const auto same_kind = [](bool match, bool previous) { return match == previous; };
  const auto grow_right = [](Stretch& last, const Stretch& next) { last.end = next.end; };
  const auto grow_left = [](Stretch& last, const Stretch& next) { last.begin = next.begin; };
  switch (behavior) {
    case SplitBehavior::kIsolated:
      return;
    case SplitBehavior::kRemoved:
      std::erase_if(stretches, [](const Stretch& stretch) { return stretch.is_match; });
      return;
    case SplitBehavior::kContiguous:
      stretches.erase(join(stretches.begin(), stretches.end(), same_kind, grow_right),
                      stretches.end());
      return;
    case SplitBehavior::kMergedWithPrevious:
      stretches.erase(join(stretches.begin(), stretches.end(), first_match, grow_right),
                      stretches.end());
      return;
    case SplitBehavior::kMergedWithNext:
      stretches.erase(stretches.begin(),
                      join(stretches.rbegin(), stretches.rend(), first_match, grow_left).base());
      return;
  }
}

}  // namespace

SplitBehavior parse_split_behavior(const JsonNode& node) {
  for (const auto& [name, behavior] : kBehaviors)
    if (name == node.string()) return behavior;
  std::string known;
  for (const auto& entry : kBehaviors) known += fmt::format(" {}", entry.first);
  fail(ErrorKind::kUnsupported, "{}: '{}' is not known; known are{}", node.path(), node.string(),
       known);
}

void Rewritten::prepend(std::string_view prefix) {
  if (text.empty()) return;
  text.insert(0, prefix);
  if (origin > 0) origin += prefix.size();
}

void Rewritten::replace(const std::vector<Stretch>& stretches, std::string_view content) {
  std::string replaced;
  replaced.reserve(text.size());
  size_t new_origin = 0;
  for (const Stretch& stretch : stretches) {
    if (stretch.is_match)
      replaced += content;
    else
      replaced.append(text, stretch.begin, stretch.end - stretch.begin);
    // A replacement counts as coming from where its match ends.
    if (origin > 0 && stretch.end <= origin)
      new_origin = replaced.size();
    else if (!stretch.is_match && stretch.begin < origin)
      new_origin = replaced.size() - (stretch.end - origin);
    check_size(replaced, limit);
  }
  text = std::move(replaced);
  origin = new_origin;
}

Rewritten Rewritten::slice(size_t begin, size_t end) const {
  return {text.substr(begin, end - begin), overlap(origin, begin, end), limit};
}

void Rewritten::to_byte_level() {
  std::string mapped;
  append_byte_level(mapped, std::string_view(text).substr(0, origin));
  const size_t new_origin = mapped.size();
  append_byte_level(mapped, std::string_view(text).substr(origin));
  check_size(mapped, limit);
  text = std::move(mapped);
  origin = new_origin;
}

void Pieces::append_text(const Rewritten& text) {
  if (text.text.empty()) return;
  const size_t begin = text_.size();
  text_ += text.text;
  check_size(text_, limit_);
  pieces_.push_back({begin, text_.size(), text.origin, kNoToken});
}

void Pieces::append_token(int32_t id) { pieces_.push_back({text_.size(), text_.size(), 0, id}); }

void Pieces::split(const Scan& scan, SplitBehavior behavior) {
  std::vector<Piece> pieces;
  pieces.reserve(pieces_.size());
  std::vector<Stretch> stretches;
  for (const Piece& piece : pieces_) {
    if (piece.token != kNoToken) {
      pieces.push_back(piece);
      continue;
    }
    scan(view(piece), stretches);
    apply(behavior, stretches);
    for (const auto [begin, end, is_match] : stretches)
      if (begin < end)
        pieces.push_back(
            {piece.begin + begin, piece.begin + end, overlap(piece.origin, begin, end), kNoToken});
  }
  pieces_ = std::move(pieces);
}

void Pieces::rewrite(const Rewrite& rewrite) {
  Pieces rewritten(limit_);
  rewritten.text_.reserve(text_.size());
  rewritten.pieces_.reserve(pieces_.size());
  Rewritten text;
  text.limit = limit_;
  for (const Piece& piece : pieces_) {
    if (piece.token != kNoToken) {
      rewritten.append_token(piece.token);
      continue;
    }
    text.text = view(piece);
    text.origin = piece.origin;
    rewrite(text);
    rewritten.append_text(text);
  }
  *this = std::move(rewritten);
}

Pieces::Scan scan_characters(bool (*is_match)(char32_t)) {
  return [is_match](std::string_view text, std::vector<Stretch>& stretches) {
    stretches.clear();
    size_t done = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      if (!is_match(next_code_point(text, at))) continue;
      if (done < begin) stretches.push_back({done, begin, false});
      stretches.push_back({begin, at, true});
      done = at;
    }
    if (done < text.size()) stretches.push_back({done, text.size(), false});
  };
}

}  // namespace strake::text
