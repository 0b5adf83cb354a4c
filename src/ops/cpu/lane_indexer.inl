// An indexer's scores of keys, and which of them are largest. Included after lane_attention.inl.

// Scores of a block of keys, of at most kScoreRows heads, are added to `sums` [kBlockKeys]: relu of
// each times the head's weight, head by head.
STRAKE_INLINE void add_heads(const float* scores, const float* weights, int64_t heads,
                             int64_t groups, float* sums) {
  for (int64_t i = 0; i < groups * kWidth; i += kWidth) {
    Floats sum = load(sums + i);
    for (int64_t h = 0; h < heads; ++h)
      sum = multiply_add(Larger::of(load(scores + h * kBlockKeys + i), Floats{}), splat(weights[h]),
                         sum);
    store(sum, sums + i);
  }
}

template <class T>
void index(const CachedHead& cached, const IndexBlock& block, std::byte* scratch) {
  const int64_t units = units_of<T>(cached.width);
  const int64_t stride = padded(units);
  float* const queries = reinterpret_cast<float*>(scratch);
  float* const keys = queries + block.tokens * block.heads * stride;
  float* const scores = keys + kBlockKeys * stride;
  float* const sums = scores + kScoreRows * kBlockKeys;
  float ones[kScoreRows];
  std::fill_n(ones, kScoreRows, 1.0f);
  const auto* from = static_cast<const T*>(block.queries);
  for (int64_t row = 0; row < block.tokens * block.heads; ++row, from += cached.width)
    for (int64_t unit = 0; unit < stride; unit += kWidth) {
      const int64_t at = unit * kPerUnit<T>;
      store(load_units(from + at, cached.width - at), queries + row * stride + unit);
    }
  for (int64_t first = block.begin; first < block.end; first += kBlockKeys) {
    const Span seen{first, std::min(first + kBlockKeys, block.end)};
    const int64_t groups = (seen.end - first + 2 * kWidth - 1) / (2 * kWidth) * 2;
    place_keys<T>(cached, first, seen, groups, keys);
    for (int64_t token = 0; token < block.tokens; ++token) {
      std::fill_n(sums, kBlockKeys, 0.0f);
      for (int64_t head = 0; head < block.heads; head += kScoreRows) {
        const int64_t row = token * block.heads + head;
        const int64_t tile = std::min<int64_t>(kScoreRows, block.heads - head);
        kScoreByRows<T>[static_cast<size_t>(tile - 1)](
            {queries + row * stride, keys, units, stride, groups, ones, scores});
        add_heads(scores, block.weights + row, tile, groups, sums);
      }
      // What is no number is the least of all that are.
      float* const to = block.scores + token * block.stride + first - block.begin;
      for (int64_t i = 0; i < seen.end - first; ++i) to[i] = sums[i] > kLowest ? sums[i] : kLowest;
    }
  }
}

// Floats in their order as integers, and back.
inline int32_t ordered(float value) {
  const auto bits = std::bit_cast<int32_t>(value);
  return bits >= 0 ? bits : bits ^ 0x7fffffff;
}
inline float from_ordered(int32_t order) {
  return std::bit_cast<float>(order >= 0 ? order : order ^ 0x7fffffff);
}

// How many of `count` scores, a multiple of kWidth, are at least `least`.
int64_t count_at_least(const float* scores, int64_t count, float least) {
  Ints found{};  // a comparison that holds is -1
  for (int64_t i = 0; i < count; i += kWidth) found -= load(scores + i) >= least;
  int64_t sum = 0;
  for (int i = 0; i < kWidth; ++i) sum += found[i];
  return sum;
}

// The largest number that at least `wanted` scores reach, by bisection.
float threshold(const float* scores, int64_t count, int64_t wanted) {
  int64_t reached = ordered(kLowest);
  int64_t beyond = int64_t{ordered(std::numeric_limits<float>::infinity())} + 1;
  while (beyond - reached > 1) {
    const int64_t middle = reached + (beyond - reached) / 2;
    const int64_t found = count_at_least(scores, count, from_ordered(static_cast<int32_t>(middle)));
    if (found < wanted) {
      beyond = middle;
      continue;
    }
    reached = middle;
    if (found == wanted) break;
  }
  return from_ordered(static_cast<int32_t>(reached));
}

void largest(const float* scores, int64_t count, int64_t wanted, int32_t* positions) {
  if (count <= wanted) {
    for (int64_t i = 0; i < wanted; ++i) positions[i] = static_cast<int32_t>(i < count ? i : -1);
    return;
  }
  const int64_t padded_count = padded_scores(count);
  const float least = threshold(scores, padded_count, wanted);
  const float above = from_ordered(ordered(least == 0 ? 0.0f : least) + 1);
  int64_t ties = wanted - count_at_least(scores, padded_count, above);
  for (int64_t i = 0; i < padded_count; i += kWidth) {
    if (fold<Larger>(load(scores + i)) < least) continue;
    for (int64_t j = i; j < i + kWidth; ++j)
      if (scores[j] > least || (scores[j] == least && ties-- > 0))
        *positions++ = static_cast<int32_t>(j);
  }
}
