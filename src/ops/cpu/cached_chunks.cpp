#include "ops/cpu/cached_chunks.h"

#include <algorithm>
#include <array>

#include "ops/cpu/weight_rows.h"
#include "quant/decode.h"

namespace strake::cpu {
namespace {

// A chunk lies in one piece, in rings too.
static_assert(kRingUnit % kKeyChunk == 0);

int64_t row_bytes(const CacheRows& rows) { return rows.shape()[2] * size_of(rows.dtype()); }

// Of a head, the row of a position.
int64_t row_index(const CacheRows& rows, int64_t head, int64_t position) {
  return head * rows.shape()[1] + rows.slot(position);
}

template <class Spec, class T>
void decode_row(const QuantizedMatrix& matrix, int64_t row, T* out) {
  const GroupScales<Spec> scales(matrix);
  const int64_t groups = matrix.scales().shape()[-1];
  const uint32_t* const words = matrix.codes().data<uint32_t>().data();
  std::array<float, Spec::kGroupSize> values;
  for (int64_t group = row * groups; group < (row + 1) * groups; ++group) {
    decode_group<Spec>(words + group * Spec::kWordsPerGroup, scales[group], values.data());
    for (const float value : values) *out++ = from_float<T>(value);
  }
}

// The part's rows, as activations, from its first place in the chunk on.
void copy_rows(const CacheRows& rows, const ChunkPart& part, std::byte* to) {
  const int64_t bytes = row_bytes(rows);
  const auto each = [&](const auto& copy) {
    for (int64_t i = part.begin; i < part.end; ++i) {
      const int64_t position = part.selected.empty() ? i : part.selected[static_cast<size_t>(i)];
      copy(row_index(rows, part.head, position), to + i % kKeyChunk * bytes);
    }
  };
  if (rows.dense() != nullptr) {
    const std::byte* const from = rows.dense()->bytes().data();
    return each([&](int64_t row, std::byte* out) { std::copy_n(from + row * bytes, bytes, out); });
  }
  const QuantizedMatrix& matrix = *rows.quantized();
  visit_format(matrix.format(), [&](auto spec) {
    visit_floating(rows.dtype(), [&]<class T>(T) {
      each([&](int64_t row, std::byte* out) {
        decode_row<decltype(spec)>(matrix, row, reinterpret_cast<T*>(out));
      });
    });
  });
}

}  // namespace

size_t CachedChunks::room() const {
  const int64_t values = values_are_keys() ? 0 : row_bytes(cached_.values);
  return static_cast<size_t>(kKeyChunk * (row_bytes(cached_.keys) + values));
}

CachedHead CachedChunks::get(const ChunkPart& part, std::byte* room) const {
  const int64_t first = part.begin / kKeyChunk * kKeyChunk;
  CachedHead head{nullptr,
                  nullptr,
                  first,
                  cached_.keys.shape()[2],
                  cached_.value_width,
                  cached_.values.shape()[2]};
  const auto place = [&](const CacheRows& rows, std::byte* copies) -> const void* {
    if (part.selected.empty() && rows.dense() != nullptr)
      return rows.dense()->bytes().data() + row_index(rows, part.head, first) * row_bytes(rows);
    copy_rows(rows, part, copies);
    return copies;
  };
  head.keys = place(cached_.keys, room);
  head.values = values_are_keys()
                    ? head.keys
                    : place(cached_.values, room + kKeyChunk * row_bytes(cached_.keys));
  return head;
}

}  // namespace strake::cpu
