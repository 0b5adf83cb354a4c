// Keys and values of the tokens seen so far.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "strake/ops/backend.h"

namespace strake {

// One layer's cache of one sequence, this rank's heads: keys and values [heads, capacity, width].
class KvCache {
 public:
  KvCache(DType dtype, Shape shape, Device device)
      : keys_(Tensor::empty(dtype, shape, device)),
        values_(Tensor::empty(dtype, std::move(shape), device)) {}

  // k, v [rows, heads, width] at positions first_position .. . Throws Error(kUsage) past
  // the capacity.
  void store(Backend& backend, const Tensor& k, const Tensor& v, int64_t first_position) {
    backend.cache_store(keys_, k, first_position);
    backend.cache_store(values_, v, first_position);
  }

  const Tensor& keys() const { return keys_; }
  const Tensor& values() const { return values_; }
  int64_t capacity() const { return keys_.shape()[1]; }
  int64_t nbytes() const { return keys_.nbytes() + values_.nbytes(); }

 private:
  Tensor keys_;
  Tensor values_;
};

// All layers of one sequence. `length` tokens are in it.
struct SequenceCache {
  std::vector<KvCache> layers;
  int64_t length = 0;

  int64_t capacity() const { return layers.empty() ? 0 : layers.front().capacity(); }
  int64_t nbytes() const {
    int64_t bytes = 0;
    for (const KvCache& layer : layers) bytes += layer.nbytes();
    return bytes;
  }
};

}  // namespace strake
