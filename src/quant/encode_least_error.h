// Scales by least squared error, for the modes whose scales are bytes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "quant/encode.h"
#include "quant/grid.h"
#include "quant/squared_error.h"

namespace strake {

// The best of the scale bytes tried so far, for elements rounded to the nearest.
template <class Spec>
class ScaleSearch {
 public:
  // A group of zeros keeps `byte_of_zeros`.
  ScaleSearch(const GroupValues<Spec>& values, float tensor_scale, uint8_t byte_of_zeros)
      : values_(values),
        tensor_scale_(tensor_scale),
        largest_(largest_magnitude(values)),
        best_(byte_of_zeros) {
    for (size_t i = 0; i < values.size(); ++i) magnitudes_[i] = std::fabs(values[i]);
  }

  float largest() const { return largest_; }
  double error() const { return error_; }
  float scale(int byte) const {
    return Spec::Scale::decode(static_cast<uint8_t>(byte)) * tensor_scale_;
  }

  void try_byte(int byte) {
    const Grid<typename Spec::Element> grid(scale(byte));
    GroupValues<Spec> decoded;
    for (size_t i = 0; i < decoded.size(); ++i) decoded[i] = grid.nearest(magnitudes_[i]);
    const double error = squared_error(magnitudes_, decoded);
    if (error < error_) {
      error_ = error;
      best_ = static_cast<uint8_t>(byte);
    }
  }

  EncodedGroup<Spec> result() const {
    EncodedGroup<Spec> group{best_, {}};
    if (largest_ == 0.0f) return group;
    const Grid<typename Spec::Element> grid(scale(best_));
    for (size_t i = 0; i < values_.size(); ++i) group.codes[i] = grid.code(values_[i]);
    return group;
  }

 private:
  const GroupValues<Spec>& values_;
  GroupValues<Spec> magnitudes_;
  float tensor_scale_;
  float largest_;
  uint8_t best_;
  double error_ = std::numeric_limits<double>::infinity();
};

// A larger power of two than the first that holds every value only makes the grid coarser. One
// that is smaller by a factor of 4 or more cuts off half of the largest value, which costs more
// than all other elements can gain. Two candidates remain.
template <class Spec>
EncodedGroup<Spec> encode_least_error_e8m0(const GroupValues<Spec>& values) {
  ScaleSearch<Spec> search(values, 1.0f, 127);
  if (search.largest() == 0.0f) return search.result();
  int exponent;
  const double fraction =
      std::frexp(static_cast<double>(search.largest()) / Spec::Element::kMax, &exponent);
  const int ceiling = std::max((fraction == 0.5 ? exponent - 1 : exponent) + 127, 0);
  search.try_byte(ceiling);
  if (ceiling > 0) search.try_byte(ceiling - 1);
  return search.result();
}

// From twice the first scale that holds every value on, half of a scale is a finer one that holds
// them too: 8 candidates, or 15 among the smallest scales, which have no exact half. Downwards,
// the search ends where the largest value's own error exceeds the best.
template <class Spec>
EncodedGroup<Spec> encode_least_error_e4m3(const GroupValues<Spec>& values, float tensor_scale) {
  constexpr int kLargestByte = 126;
  ScaleSearch<Spec> search(values, tensor_scale, 0);
  if (search.largest() == 0.0f) return search.result();
  const auto holds = [&](int byte) {
    return Spec::Element::kMax * search.scale(byte) >= search.largest();
  };
  int first =
      std::max<int>(E4M3::encode(search.largest() / (Spec::Element::kMax * tensor_scale)), 1);
  while (first < kLargestByte && !holds(first)) ++first;
  while (first > 1 && holds(first - 1)) --first;
  const int last = std::min(std::max(first + 7, 15), kLargestByte);
  for (int byte = first; byte <= last; ++byte) search.try_byte(byte);
  for (int byte = first - 1; byte > 0; --byte) {
    const double cut = static_cast<double>(search.largest()) -
                       static_cast<double>(Spec::Element::kMax * search.scale(byte));
    if (cut * cut >= search.error()) break;
    search.try_byte(byte);
  }
  return search.result();
}

}  // namespace strake
