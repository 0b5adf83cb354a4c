// Sequences that run in one forward pass.
//
// Their tokens are rows, one sequence after the other. What a row becomes depends on that row and
// its own sequence alone, so a sequence has the same bits in every batch; only attention asks where
// a row belongs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>

#include "base/recycled.h"
#include "nn/kv_cache.h"
#include "strake/ops/position.h"

namespace strake {

// The next tokens of one sequence, after those in its cache.
struct SequenceStep {
  std::span<const int32_t> tokens;
  SequenceCache* cache;
  std::optional<Position> position = {};  // else after those in the cache

  Position first_position() const { return position.value_or(Position(cache->length())); }
};

// What a layer sees of that: rows [begin, end), at first_position and after.
struct SequenceRows {
  int64_t begin;
  int64_t end;
  Position first_position;
  LayerCache& cache;
  // The keys that the last indexer before selected for these rows, for layers that share them.
  std::optional<Tensor>* selected = nullptr;

  int64_t count() const { return end - begin; }
};

inline constexpr int64_t kAnyRows = int64_t{1} << 40;

// attend(SequenceRows) -> [its rows, ...] of every sequence, in pieces of up to `most_rows`, joined
// to [rows, ...].
template <class Attend>
Tensor by_sequence(std::span<const SequenceRows> sequences, int64_t most_rows,
                   const Attend& attend) {
  if (sequences.size() == 1 && sequences[0].count() <= most_rows) return attend(sequences[0]);
  Recycled<Tensor> results;
  for (const SequenceRows& all : sequences)
    for (int64_t begin = all.begin; begin < all.end; begin += most_rows)
      results.push_back(attend(SequenceRows{begin, std::min(all.end, begin + most_rows),
                                            all.first_position + (begin - all.begin), all.cache}));
  return concatenate(results, 0);
}

}  // namespace strake
