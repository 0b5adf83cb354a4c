// What layers keep of the tokens of a sequence.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "strake/ops/cache_rows.h"

namespace strake {

// What a layer's cache is made for: how many tokens, kept how and where.
struct CacheRoom {
  int64_t capacity;
  CacheStorage storage;
  Place place;
};

// What the parts of a layer's cache hold.
enum class CachePart : uint8_t { kKeys, kValues, kLatent, kIndexKeys };

// One layer's cache of one sequence, this rank's part of it.
class LayerCache {
 public:
  // From `other_form_at` on, a token's step has other operations than before.
  explicit LayerCache(std::vector<std::pair<CachePart, CacheRows>> parts, int64_t other_form_at = 0)
      : parts_(std::move(parts)), other_form_at_(other_form_at) {}

  // Throws Error(kInternal) for a part that the layer does not keep.
  CacheRows& operator[](CachePart part);
  int64_t nbytes() const;
  bool holds(int64_t length, int64_t written) const;  // as CacheRows: of all parts
  int64_t other_form_at() const { return other_form_at_; }

 private:
  std::vector<std::pair<CachePart, CacheRows>> parts_;
  int64_t other_form_at_;
};

// All layers of one sequence, with room for `capacity` tokens; `length` are in it.
class SequenceCache {
 public:
  SequenceCache(std::vector<LayerCache> layers, int64_t capacity)
      : layers_(std::move(layers)), capacity_(capacity) {}

  int64_t length() const { return length_; }
  int64_t capacity() const { return capacity_; }
  int64_t nbytes() const;
  LayerCache& layer(size_t index) { return layers_[index]; }
  // The last position of which a token's step has the operations that it has at `position`.
  int64_t same_form_until(int64_t position) const;

  // `rows` more tokens are in it.
  void advance(int64_t rows);
  // Keeps the first `length` tokens, or none where a window no longer reaches back so far. Returns
  // how many it keeps.
  int64_t shorten(int64_t length);

 private:
  std::vector<LayerCache> layers_;
  int64_t capacity_;
  int64_t length_ = 0;
  int64_t written_ = 0;  // the most tokens that were in it since it was empty
};

}  // namespace strake
