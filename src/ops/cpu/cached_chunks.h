// Cached keys and values as attention's kernels read them: chunks of rows of activations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ops/cpu/lane_kernels.h"
#include "strake/ops/backend.h"

namespace strake::cpu {

// What a chunk is asked for: of a head, the positions [begin, end), all of chunk begin / kKeyChunk.
// With `selected`, these are places in that list of positions.
struct ChunkPart {
  int64_t head;
  int64_t begin;
  int64_t end;
  std::span<const int32_t> selected;
};

class CachedChunks {
 public:
  explicit CachedChunks(const AttentionRows& cached) : cached_(cached) {}

  // Bytes of 64-byte aligned memory that get() works in.
  size_t room() const;
  // Where the rows lie, or copies of them in `room`: of codes, and of selected positions.
  CachedHead get(const ChunkPart& part, std::byte* room) const;

 private:
  bool values_are_keys() const { return &cached_.values == &cached_.keys; }

  AttentionRows cached_;
};

}  // namespace strake::cpu
