#include "nn/kv_cache.h"

#include <algorithm>

#include "base/fail.h"

namespace strake {

CacheRows& LayerCache::operator[](CachePart part) {
  for (auto& [kind, rows] : parts_)
    if (kind == part) return rows;
  fail(ErrorKind::kInternal, "a layer's cache has no part {}", static_cast<int>(part));
}

int64_t LayerCache::nbytes() const {
  int64_t bytes = 0;
  for (const auto& [kind, rows] : parts_) bytes += rows.nbytes();
  return bytes;
}

bool LayerCache::holds(int64_t length, int64_t written) const {
  return std::ranges::all_of(parts_,
                             [&](const auto& part) { return part.second.holds(length, written); });
}

int64_t SequenceCache::nbytes() const {
  int64_t bytes = 0;
  for (const LayerCache& layer : layers_) bytes += layer.nbytes();
  return bytes;
}

int64_t SequenceCache::same_form_until(int64_t position) const {
  int64_t last = capacity_ - 1;
  for (const LayerCache& layer : layers_)
    if (position < layer.other_form_at()) last = std::min(last, layer.other_form_at() - 1);
  return last;
}

void SequenceCache::advance(int64_t rows) {
  length_ += rows;
  written_ = std::max(written_, length_);
}

int64_t SequenceCache::shorten(int64_t length) {
  const bool held = std::ranges::all_of(
      layers_, [&](const LayerCache& layer) { return layer.holds(length, written_); });
  length_ = held ? length : 0;
  if (length_ == 0) written_ = 0;
  return length_;
}

}  // namespace strake
