// Softmax attention of query rows over a chunk of positions. Included after lane_vectors.inl.
//
// Positions go in blocks of 64. A block's keys are transposed once for all query rows, so that a
// vector holds the same element of kWidth keys and each score is one chain of multiplications and
// additions along the head. Then come the softmax, row by row, and the sums of values, each one
// chain along the positions. Where a row's sums start and end depends on that row alone.

constexpr int64_t kBlockKeys = 64;
constexpr int kScoreRows = kWidth == 16 ? 8 : 4;  // times 2 vectors of keys: chains in registers
constexpr int kMixRows = 4;
constexpr int kMixVectors = kWidth == 16 ? 4 : 2;
constexpr float kLowest = -std::numeric_limits<float>::max();

// What one 32-bit lane of a transposed key holds: an element as float32, or a pair of bfloat16
// elements where the path has their dot product.
#if STRAKE_LANES == 16
template <class T>
constexpr bool kPairs = std::is_same_v<T, Bf16>;
#else
template <class T>
constexpr bool kPairs = false;
#endif
template <class T>
constexpr int64_t kPerUnit = kPairs<T> ? 2 : 1;
template <class T>
constexpr int64_t units_of(int64_t width) {
  return (width + kPerUnit<T> - 1) / kPerUnit<T>;
}
constexpr int64_t padded(int64_t units) { return (units + kWidth - 1) / kWidth * kWidth; }

// kWidth units; elements from `count` on are zero.
template <class T>
STRAKE_INLINE Floats load_units(const T* from, int64_t count) {
  constexpr int64_t kElements = kWidth * kPerUnit<T>;
  T elements[kElements];
  if (count < kElements) {
    for (int64_t i = 0; i < kElements; ++i) elements[i] = i < count ? from[i] : T{};
    from = elements;
  }
  if constexpr (kPairs<T>)
    return read<Floats>(from);
  else
    return load(from);
}

// sum + a * b for each lane's unit.
template <class T>
STRAKE_INLINE Floats add_units(Floats a, Floats b, Floats sum) {
#if STRAKE_LANES == 16
  if constexpr (kPairs<T>) return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#endif
  return multiply_add(a, b, sum);
}

// Working memory of attend(), in 64-byte aligned arrays.
struct AttentionRoom {
  float* queries;  // [kQueryRows][padded units]
  float* keys;     // [kBlockKeys / kWidth][padded units][kWidth]
  float* scores;   // [kQueryRows][kBlockKeys]
  float* totals;   // [kQueryRows][kWidth]

  AttentionRoom(std::byte* memory, int64_t units)
      : queries(reinterpret_cast<float*>(memory)),
        keys(queries + kQueryRows * units),
        scores(keys + kBlockKeys * units),
        totals(scores + kQueryRows * kBlockKeys) {}
};

// Positions [begin, end).
struct Span {
  int64_t begin;
  int64_t end;
  bool empty() const { return begin >= end; }
};
STRAKE_INLINE Span seen_of(const QueryRow& row, Span block) {
  return {std::max(row.begin, block.begin), std::min(row.end, block.end)};
}

STRAKE_INLINE void fetch(const void* at, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const std::byte*>(at) + i);
}

// Transposes `groups` vectors of keys from position `first` on. Of positions outside `seen`, which
// may not even be there, the nearest one that is stands in.
template <class T>
void place_keys(const CachedHead& head, int64_t first, Span seen, int64_t groups, float* to) {
  const auto* const keys = static_cast<const T*>(head.keys);
  const auto* const values = static_cast<const T*>(head.values);
  constexpr int64_t kElements = kWidth * kPerUnit<T>;
  const auto size = static_cast<int64_t>(sizeof(T));
  for (int64_t group = 0; group < groups; ++group) {
    const T* rows[kWidth];
    for (int64_t i = 0; i < kWidth; ++i) {
      const int64_t position = first + group * kWidth + i;
      rows[i] = keys + (std::clamp(position, seen.begin, seen.end - 1) - head.first) * head.width;
      fetch(rows[i] + kBlockKeys * head.width, head.width * size);
      fetch(values + (position - head.first) * head.value_stride, head.value_width * size);
    }
    for (int64_t at = 0; at < head.width; at += kElements) {
      Floats square[kWidth];
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i) square[i] = load_units(rows[i] + at, head.width - at);
      transpose(square);
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i) store(square[i], to + i * kWidth);
      to += kWidth * kWidth;
    }
  }
}

struct ScoreTile {
  const float* queries;  // [rows][stride] units
  const float* keys;     // [groups][stride][kWidth]
  int64_t units;
  int64_t stride;
  int64_t groups;       // even
  const float* scales;  // [rows]
  float* scores;        // [rows][kBlockKeys]
};

template <class T, int Rows>
void score(const ScoreTile& tile) {
  for (int64_t group = 0; group < tile.groups; group += 2) {
    const float* const low = tile.keys + group * tile.stride * kWidth;
    const float* const high = low + tile.stride * kWidth;
    Floats sums[Rows][2] = {};
    for (int64_t unit = 0; unit < tile.units; ++unit) {
      const Floats a = load(low + unit * kWidth), b = load(high + unit * kWidth);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        const Floats q = splat(tile.queries[r * tile.stride + unit]);
        sums[r][0] = add_units<T>(a, q, sums[r][0]);
        sums[r][1] = add_units<T>(b, q, sums[r][1]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      float* const to = tile.scores + r * kBlockKeys + group * kWidth;
      store(sums[r][0] * tile.scales[r], to);
      store(sums[r][1] * tile.scales[r], to + kWidth);
    }
  }
}

// Scores of a block become exp(score - largest), 0 outside `seen` (counted from the block's first
// position); what was summed before is brought to the new largest score.
void soften(float* scores, Span seen, int64_t groups, int64_t value_width, float* sums,
            float* totals) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  Floats lanes;
  for (int i = 0; i < kWidth; ++i) lanes[i] = static_cast<float>(i);
  Floats largest = splat(sums[kLargest]);
  for (int64_t i = 0; i < groups * kWidth; i += kWidth) {
    Floats s = load(scores + i);
    if (i < seen.begin || i + kWidth > seen.end) {
      const Floats position = lanes + static_cast<float>(i);
      s = position >= static_cast<float>(seen.begin) ? s : splat(kNever);
      s = position < static_cast<float>(seen.end) ? s : splat(kNever);
      store(s, scores + i);
    }
    largest = Larger::of(s, largest);
  }
  const float most = fold<Larger>(largest);
  Floats total = load(totals);
  if (most > sums[kLargest]) {
    const Floats factor = exp_nonpositive(splat(sums[kLargest] - most));
    total *= factor;
    for (int64_t i = 0; i < value_width; i += kWidth)
      store(load(sums + kMixed + i) * factor, sums + kMixed + i);
    sums[kLargest] = most;
  }
  for (int64_t i = 0; i < groups * kWidth; i += kWidth) {
    const Floats weight = exp_nonpositive(load(scores + i) - most);
    total += weight;
    store(weight, scores + i);
  }
  store(total, totals);
}

template <class T>
struct MixTile {
  const float* weights;  // [rows][kBlockKeys], of the block's positions
  const T* values;       // [kBlockKeys][value_stride]
  int64_t value_width;
  int64_t value_stride;
  float* mixed;  // [rows][stride]
  int64_t stride;
};

// Vectors of columns that are whole, or the last one where it is not.
struct Whole {
  template <class T>
  STRAKE_INLINE Floats operator()(const T* from) const {
    return load(from);
  }
};
struct Part {
  int64_t count;
  template <class T>
  STRAKE_INLINE Floats operator()(const T* from) const {
    return load_some(from, count);
  }
};

// mixed += weights * values at the positions of `keys`, for Rows rows and Vectors vectors of
// columns from `column` on.
template <int Rows, int Vectors, class T, class Load>
STRAKE_INLINE void mix_columns(const MixTile<T>& tile, Span keys, int64_t column,
                               const Load& load_values) {
  Floats sums[Rows][Vectors];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < Vectors; ++c)
      sums[r][c] = load(tile.mixed + r * tile.stride + column + c * kWidth);
  for (int64_t key = keys.begin; key < keys.end; ++key) {
    Floats values[Vectors];
#pragma GCC unroll 4
    for (int c = 0; c < Vectors; ++c)
      values[c] = load_values(tile.values + key * tile.value_stride + column + c * kWidth);
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      const Floats weight = splat(tile.weights[r * kBlockKeys + key]);
#pragma GCC unroll 4
      for (int c = 0; c < Vectors; ++c) sums[r][c] = multiply_add(weight, values[c], sums[r][c]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < Vectors; ++c)
      store(sums[r][c], tile.mixed + r * tile.stride + column + c * kWidth);
}

template <class T, int Rows>
void mix(const MixTile<T>& tile, Span keys) {
  int64_t column = 0;
  for (; column + kMixVectors * kWidth <= tile.value_width; column += kMixVectors * kWidth)
    mix_columns<Rows, kMixVectors>(tile, keys, column, Whole());
  for (; column + kWidth <= tile.value_width; column += kWidth)
    mix_columns<Rows, 1>(tile, keys, column, Whole());
  if (column < tile.value_width)
    mix_columns<Rows, 1>(tile, keys, column, Part{tile.value_width - column});
}

template <class T>
void mix_row(MixTile<T> tile, int row, Span keys) {
  if (keys.empty()) return;
  tile.weights += row * kBlockKeys;
  tile.mixed += row * tile.stride;
  mix<T, 1>(tile, keys);
}

// Rows of a tile see almost the same positions: those that all see go together, the few before and
// after row by row, so that no row ever touches a value that it does not see.
template <class T, int Rows>
void mix_seen(const MixTile<T>& tile, const Span* seen) {
  Span common = seen[0];
  for (int r = 1; r < Rows; ++r)
    common = {std::max(common.begin, seen[r].begin), std::min(common.end, seen[r].end)};
  if (common.empty()) {
    for (int row = 0; row < Rows; ++row) mix_row(tile, row, seen[row]);
    return;
  }
  for (int row = 0; row < Rows; ++row) mix_row(tile, row, {seen[row].begin, common.begin});
  mix<T, Rows>(tile, common);
  for (int row = 0; row < Rows; ++row) mix_row(tile, row, {common.end, seen[row].end});
}

// The function for each number of rows, from 1 on.
template <class T>
constexpr auto kScoreByRows = []<int... I>(std::integer_sequence<int, I...>) {
  return std::array{&score<T, I + 1>...};
}
(std::make_integer_sequence<int, kScoreRows>());
template <class T>
constexpr auto kMixByRows = []<int... I>(std::integer_sequence<int, I...>) {
  return std::array{&mix_seen<T, I + 1>...};
}
(std::make_integer_sequence<int, kMixRows>());

template <class T>
void attend_block(const CachedHead& head, std::span<const QueryRow> rows, Span block, float* sums,
                  const AttentionRoom& room) {
  Span all{block.end, block.begin};
  Span seen[kQueryRows];  // by each row, from the block's first position
  float scales[kQueryRows];
  for (size_t r = 0; r < rows.size(); ++r) {
    scales[r] = rows[r].scale;
    const Span some = seen_of(rows[r], block);
    seen[r] = {some.begin - block.begin, some.end - block.begin};
    if (!some.empty()) all = {std::min(all.begin, some.begin), std::max(all.end, some.end)};
  }
  if (all.empty()) return;
  const int64_t groups = (all.end - block.begin + 2 * kWidth - 1) / (2 * kWidth) * 2;
  const int64_t units = units_of<T>(head.width);
  const int64_t stride = padded(units);
  const int64_t row_size = row_sums_size(head.value_width);
  place_keys<T>(head, block.begin, all, groups, room.keys);
  const auto count = static_cast<int64_t>(rows.size());
  for (int64_t r = 0; r < count; r += kScoreRows) {
    const int64_t tile = std::min<int64_t>(kScoreRows, count - r);
    kScoreByRows<T>[static_cast<size_t>(tile - 1)]({room.queries + r * stride, room.keys, units,
                                                    stride, groups, scales + r,
                                                    room.scores + r * kBlockKeys});
  }
  for (int64_t r = 0; r < count; ++r)
    if (!seen[r].empty())
      soften(room.scores + r * kBlockKeys, seen[r], groups, head.value_width, sums + r * row_size,
             room.totals + r * kWidth);
  const T* const values =
      static_cast<const T*>(head.values) + (block.begin - head.first) * head.value_stride;
  for (int64_t r = 0; r < count; r += kMixRows) {
    const int64_t tile = std::min<int64_t>(kMixRows, count - r);
    kMixByRows<T>[static_cast<size_t>(tile - 1)](
        {room.scores + r * kBlockKeys, values, head.value_width, head.value_stride,
         sums + r * row_size + kMixed, row_size},
        seen + r);
  }
}

template <class T>
void attend(const CachedHead& head, std::span<const QueryRow> rows, int64_t chunk, float* sums,
            std::byte* scratch) {
  const int64_t stride = padded(units_of<T>(head.width));
  const int64_t row_size = row_sums_size(head.value_width);
  const AttentionRoom room(scratch, stride);
  std::fill_n(room.totals, std::ssize(rows) * kWidth, 0.0f);
  for (size_t r = 0; r < rows.size(); ++r) {
    float* const row = sums + static_cast<int64_t>(r) * row_size;
    std::fill_n(row, row_size, 0.0f);
    row[kLargest] = kLowest;
    const auto* const query = static_cast<const T*>(rows[r].query);
    float* const to = room.queries + static_cast<int64_t>(r) * stride;
    for (int64_t unit = 0; unit < stride; unit += kWidth) {
      const int64_t at = unit * kPerUnit<T>;
      store(load_units(query + at, head.width - at), to + unit);
    }
  }
  for (int64_t first = chunk * kKeyChunk; first < (chunk + 1) * kKeyChunk; first += kBlockKeys)
    attend_block<T>(head, rows, {first, first + kBlockKeys}, sums, room);
  for (size_t r = 0; r < rows.size(); ++r)
    sums[static_cast<int64_t>(r) * row_size + kTotal] =
        fold<Sum>(load(room.totals + static_cast<int64_t>(r) * kWidth));
}

void merge(const float* part, int64_t value_width, float* sums) {
  const float most = std::max(sums[kLargest], part[kLargest]);
  const Floats before = exp_nonpositive(splat(sums[kLargest] - most));
  const Floats now = exp_nonpositive(splat(part[kLargest] - most));
  sums[kLargest] = most;
  sums[kTotal] = sums[kTotal] * before[0] + part[kTotal] * now[0];
  for (int64_t i = kMixed; i < kMixed + value_width; i += kWidth)
    store(multiply_add(load(part + i), now, load(sums + i) * before), sums + i);
}

template <class T>
void finish(const float* sums, int64_t value_width, void* out) {
  auto* const to = static_cast<T*>(out);
  const float total = sums[kTotal];
  int64_t i = 0;
  for (; i + kWidth <= value_width; i += kWidth) store(load(sums + kMixed + i) / total, to + i);
  if (i < value_width) store_some(load(sums + kMixed + i) / total, value_width - i, to + i);
}
