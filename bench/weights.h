// Formats by name, and random weights where a backend computes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "strake/ops/backend.h"

namespace strake {

// "mode[:bits[:group]]"; "all" stands for every format, "bf16" for a dense weight.
std::vector<std::optional<Format>> parse_formats(const std::vector<std::string>& names);
std::string name_of(const std::optional<Format>& format);

// Tensors of patterns of a few MB that repeat: memory does not know, and filling it takes no time.
class RandomWeights {
 public:
  explicit RandomWeights(const Place& place);

  // Any codes of numbers; scales are 2^-6.
  Weight make(const std::optional<Format>& format, const Shape& shape) const;
  // In [-1, 1).
  Tensor bf16(const Shape& shape) const;

 private:
  Tensor repeated(const Tensor& pattern, const Shape& shape) const;

  Place place_;
  Tensor codes_;   // uint32
  Tensor values_;  // bfloat16
};

// Weights prepared for a backend, as many as no cache holds, taken in turn.
class ColdWeights {
 public:
  ColdWeights(Backend& backend, const std::optional<Format>& format, const Shape& shape);
  ColdWeights(Backend& backend, const std::optional<Format>& format, const Shape& shape,
              const PartialSums& sums);

  int count() const { return static_cast<int>(weights_.size()); }
  const Weight& operator[](int64_t turn) const {
    return weights_[static_cast<size_t>(turn) % weights_.size()];
  }
  int64_t bytes() const { return bytes_; }  // of one, as a checkpoint stores it

 private:
  std::vector<Weight> weights_;
  int64_t bytes_ = 0;
};

// So many bytes of weights, or of caches, are not in any cache.
inline constexpr int64_t kColdBytes = int64_t{512} << 20;

}  // namespace strake
