// What a model needs of each rank, and how fast its memory lets it decode: from the config alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/plan.h"
#include "strake/ops/cache_rows.h"

namespace strake {

// The sequences that run at once, and how many tokens each has room for.
struct Load {
  int64_t context;
  int64_t batch = 1;
  CacheStorage cache = DType::kBF16;
};

// Bytes of one rank.
struct RankCapacity {
  int64_t weights;
  int64_t largest_weight;   // of one module
  int64_t cache;            // of all sequences, full
  int64_t cache_per_token;  // that a token adds to a sequence whose windows are full
  double read;              // by a step that decodes one token of each sequence, caches full
  int64_t sent;             // to other ranks by that step
  // That a row of a prompt takes while a GPU multiplies with a stack of experts: the most of all.
  int64_t prompt_row;
};

struct Capacity {
  Plan plan;
  std::vector<RankCapacity> ranks;

  int64_t cache_per_token() const;  // of all ranks together
  int64_t sent() const;             // by all ranks together
  // Tokens a second of all sequences, where every rank reads its memory at so many bytes a second
  // and nothing else takes time.
  double decode_rate(double bytes_per_second, int64_t batch) const;
};

// Throws what loading throws, with the nearest rank counts that work where these shares cannot.
Capacity find_capacity(const OpenModel& open, const Division& division, const Load& load);

}  // namespace strake
