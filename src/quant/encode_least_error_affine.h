// Scale and bias of an affine group by least squared error.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/encode.h"
#include "quant/encode_mlx.h"
#include "quant/squared_error.h"

namespace strake {

// The number of T that lies `step` places from `value`, away from zero.
template <class T>
float neighbour(float value, int step) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>;
  const auto bits = std::bit_cast<Bits>(from_float<T>(value));
  return to_float(std::bit_cast<T>(static_cast<Bits>(bits + static_cast<Bits>(step))));
}

// The best fit tried so far, MLX's to begin with. Errors are those of the values as decoded from
// the stored scale and bias, which are numbers of T; an error that is not a number is never best.
template <class Spec, class T>
class AffineSearch {
 public:
  explicit AffineSearch(const GroupValues<Spec>& values)
      : values_(values), best_(encode_mlx_affine<Spec, T>(values)) {
    GroupValues<Spec> decoded;
    std::array<double, kSize> terms;
    for (size_t i = 0; i < kSize; ++i) {
      decoded[i] = decode_value<Spec>(best_.codes[i], best_.scale);
      terms[i] = values[i];
    }
    sum_ = pairwise_sum(terms);
    error_ = squared_error(values, decoded);
    // MLX's overflows where the range of the group does: start from the mean.
    if (!std::isfinite(error_)) {
      error_ = std::numeric_limits<double>::infinity();
      try_fit({0.0f, static_cast<float>(sum_ / kSize)});
    }
  }

  double error() const { return error_; }

  // Keeps a fit, rounded to T, where its error is less than the best.
  void try_fit(GroupScale fit) {
    fit = {round_to<T>(fit.scale), round_to<T>(fit.bias)};
    const GroupValues<Spec> codes = nearest_codes(fit);
    GroupValues<Spec> decoded;
    for (size_t i = 0; i < kSize; ++i) decoded[i] = fit.scale * codes[i] + fit.bias;
    const double error = squared_error(values_, decoded);
    if (!(error < error_)) return;
    error_ = error;
    best_.scale = fit;
    for (size_t i = 0; i < kSize; ++i) best_.codes[i] = static_cast<uint8_t>(codes[i]);
  }

  // The least-squares fit to the codes that `fit` gives.
  GroupScale refit(GroupScale fit) const {
    const GroupValues<Spec> codes = nearest_codes(fit);
    GroupValues<Spec> squares;
    std::array<double, kSize> products;
    for (size_t i = 0; i < kSize; ++i) {
      squares[i] = codes[i] * codes[i];
      products[i] = static_cast<double>(codes[i]) * static_cast<double>(values_[i]);
    }
    const double sum = pairwise_sum(codes);
    const double spread = kSize * static_cast<double>(pairwise_sum(squares)) - sum * sum;
    if (spread == 0) return fit;  // all codes are equal
    const double scale = (kSize * pairwise_sum(products) - sum * sum_) / spread;
    return {static_cast<float>(scale), bias_for(scale, sum)};
  }

  // Rounding to T may be coarser than the codes' own: tries the numbers around the best fit.
  void try_neighbours() {
    const GroupScale fit = refit(best_.scale);
    const double sum = pairwise_sum(nearest_codes(best_.scale));
    for (int i = -1; i <= 1; ++i) {
      const float scale = neighbour<T>(fit.scale, i);
      for (int j = -1; j <= 1; ++j) try_fit({scale, neighbour<T>(bias_for(scale, sum), j)});
    }
  }

  EncodedGroup<Spec> result() const { return best_; }

 private:
  static constexpr size_t kSize = Spec::kGroupSize;

  GroupValues<Spec> nearest_codes(GroupScale fit) const {
    const float inverse = 1.0f / fit.scale;
    GroupValues<Spec> codes;
    for (size_t i = 0; i < kSize; ++i)
      codes[i] = round_and_clamp((values_[i] - fit.bias) * inverse, Spec::Element::kMax);
    return codes;
  }

  // The best bias for a scale and codes with that sum.
  float bias_for(double scale, double sum) const {
    return static_cast<float>((sum_ - scale * sum) / kSize);
  }

  const GroupValues<Spec>& values_;
  EncodedGroup<Spec> best_;
  double sum_;
  double error_;
};

// Starts from ranges that leave out 0, 1/3 or 2/3 of a level at either end: within 2% of the error
// that a search over hundreds of ranges finds.
template <class Spec, class T>
EncodedGroup<Spec> encode_least_error_affine(const GroupValues<Spec>& values) {
  AffineSearch<Spec, T> search(values);
  if (search.error() == 0) return search.result();
  const auto [least, largest] = std::minmax_element(values.begin(), values.end());
  const double low = *least;
  const double high = *largest;
  const double third = (high - low) / Spec::Element::kMax / 3;
  for (int i = 0; i <= 2; ++i) {
    for (int j = 0; j <= 2; ++j) {
      const double from = low + i * third;
      const double to = high - j * third;
      const auto scale = static_cast<float>((to - from) / Spec::Element::kMax);
      // The end nearer to zero is the bias: it loses less when it is rounded.
      search.try_fit(search.refit(std::fabs(from) <= std::fabs(to)
                                      ? GroupScale{scale, static_cast<float>(from)}
                                      : GroupScale{-scale, static_cast<float>(to)}));
    }
  }
  search.try_neighbours();
  return search.result();
}

}  // namespace strake
