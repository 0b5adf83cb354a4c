// Attention of random rows, on the GPU and in float64, for tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>

#include "ops/cuda/attention.h"
#include "ops/cuda/device.h"

namespace strake::cuda {

struct AttentionCase {
  DType dtype = DType::kBF16;
  int64_t heads = 8;
  int64_t cached_heads = 2;
  int64_t width = 128;
  int64_t value_width = 128;
  int64_t tokens = 1;
  std::vector<int> first_positions = {300};
  int64_t slots = 0;  // 0: just enough, and some more
  int64_t window = 0;
  int64_t selected = 0;
  enum class Values { kOwn, kKeys } values = Values::kOwn;
  enum class Extras { kNone, kSinks, kAll } extras = Extras::kNone;  // all: scales of rows, too
  std::vector<int32_t> first_query = {};

  int64_t rows() const { return tokens * std::ssize(first_positions); }
  int64_t value_stride() const { return values == Values::kKeys ? width : value_width; }
  int64_t last() const { return *std::ranges::max_element(first_positions) + tokens; }
  int64_t room() const { return slots > 0 ? slots : last() + 3; }
};

// A case's inputs on the host and on the device.
class Attention {
 public:
  explicit Attention(const AttentionCase& of)
      : case_(of),
        q_(random_floats(static_cast<size_t>(of.rows() * of.heads * of.width), of.dtype)),
        device_q_(of.dtype, q_),
        out_(of.dtype, static_cast<size_t>(of.rows() * of.heads * of.value_width)) {
    for (const int first : of.first_positions) {
      keys_.push_back(make_rows(first, of.width));
      if (of.values == AttentionCase::Values::kOwn)
        values_.push_back(make_rows(first, of.value_width));
      device_keys_.emplace_back(of.dtype, keys_.back());
      if (of.values == AttentionCase::Values::kOwn)
        device_values_.emplace_back(of.dtype, values_.back());
    }
    if (of.extras != AttentionCase::Extras::kNone)
      sinks_ = random_floats(static_cast<size_t>(of.heads));
    if (of.extras == AttentionCase::Extras::kAll) {
      scales_ = random_floats(static_cast<size_t>(of.rows()), DType::kF32, 0.3f);
      for (float& scale : scales_) scale += 1;
    }
    if (of.selected > 0) select();
  }

  std::vector<float> run() { return run(all_sequences()); }
  // From now on for so many positions, as a recording is that goes on for some time.
  void lay_out_for(int64_t positions) { laid_out_for_ = positions; }

  // The results of some of the sequences, in this order.
  std::vector<float> run(const std::vector<size_t>& sequences) {
    return run(sequences, case_.heads);
  }

  // The same of each token's first heads alone.
  std::vector<float> run(const std::vector<size_t>& sequences, int64_t heads) {
    return run(sequences, heads, {0, case_.tokens});
  }

  struct Piece {
    int64_t first_token;
    int64_t tokens;
  };
  // The first sequence's, piece by piece.
  std::vector<float> run(const std::vector<Piece>& pieces) {
    std::vector<float> all;
    for (const Piece& piece : pieces) {
      const std::vector<float> some = run({0}, case_.heads, piece);
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }

  std::vector<float> run(const std::vector<size_t>& sequences, int64_t heads, const Piece& piece) {
    const AttentionCase& c = case_;
    std::vector<CachedSequence> caches;
    std::vector<int32_t> positions;
    std::vector<float> q, scales;
    std::vector<int32_t> selected;
    for (const size_t s : sequences) {
      CachedSequence cache{{device_keys_[s].data()}, {}, c.room()};
      cache.values = c.values == AttentionCase::Values::kOwn ? CachedRows{device_values_[s].data()}
                                                             : cache.keys;
      caches.push_back(cache);
      positions.push_back(c.first_positions[s] + static_cast<int>(piece.first_token));
      const int64_t first_row = static_cast<int64_t>(s) * c.tokens + piece.first_token;
      for (int64_t row = first_row; row < first_row + piece.tokens; ++row) {
        const auto from = q_.begin() + row * c.heads * c.width;
        q.insert(q.end(), from, from + heads * c.width);
      }
      append(scales, scales_, first_row, scales_.empty() ? 0 : piece.tokens);
      append(selected, selected_, first_row * c.selected, piece.tokens * c.selected);
    }
    const TokenRows rows_shape{nullptr, piece.tokens, std::ssize(sequences)};
    const DeviceArray<CachedSequence> device_caches(caches);
    const DeviceArray<int32_t> device_positions(positions);
    const DeviceFloats device_q(c.dtype, q);
    const DeviceFloats out(c.dtype,
                           static_cast<size_t>(rows_shape.count() * heads * c.value_width));
    const DeviceArray<float> device_scales(scales), device_sinks(sinks_);
    const DeviceArray<int32_t> device_selected(selected), first_query(c.first_query);
    AttentionShape shape = this->shape();
    if (heads < c.heads) {
      shape.heads = heads;
      shape.cached_heads = std::max<int64_t>(1, heads * c.cached_heads / c.heads);
      shape.largest_group = heads / shape.cached_heads;
    }
    const DeviceBytes workspace(attention_workspace(shape, piece.tokens, std::ssize(sequences)));
    AttentionOperands operands{};
    operands.q = device_q.data();
    operands.caches = device_caches.data();
    if (!c.first_query.empty()) operands.first_query = first_query.data();
    operands.scale = scale();
    if (!sinks_.empty()) operands.sinks = device_sinks.data();
    if (!scales_.empty()) operands.row_scales = device_scales.data();
    if (c.selected > 0) operands.selected = device_selected.data();
    operands.out = out.data();
    operands.workspace = workspace.data();
    attention(shape, operands, {device_positions.data(), piece.tokens, std::ssize(sequences)},
              nullptr);
    EXPECT_TRUE(out.is_guard_whole());
    EXPECT_TRUE(workspace.is_guard_whole());
    return out.get();
  }

  std::vector<double> expected() const {
    std::vector<double> result;
    for (int64_t row = 0; row < case_.rows(); ++row)
      for (int64_t head = 0; head < case_.heads; ++head) add_expected(row, head, result);
    return result;
  }

  AttentionShape shape() const {
    AttentionShape shape{};
    shape.dtype = case_.dtype;
    shape.heads = case_.heads;
    shape.cached_heads = case_.cached_heads;
    shape.largest_group = case_.heads / case_.cached_heads;
    for (size_t i = 1; i < case_.first_query.size(); ++i)
      shape.largest_group =
          std::max<int64_t>(shape.largest_group, case_.first_query[i] - case_.first_query[i - 1]);
    shape.width = case_.width;
    shape.value_width = case_.value_width;
    shape.value_stride = case_.value_stride();
    shape.positions = std::max(laid_out_for_, case_.window > 0 ? case_.last() : case_.room());
    shape.window = case_.window;
    shape.selected = case_.selected;
    return shape;
  }

 private:
  std::vector<size_t> all_sequences() const {
    std::vector<size_t> all(case_.first_positions.size());
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  template <class T>
  static void append(std::vector<T>& to, const std::vector<T>& from, int64_t first, int64_t count) {
    to.insert(to.end(), from.begin() + first, from.begin() + first + count);
  }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(case_.width)); }

  // Rows [heads, slots, width] of positions up to the last one; NaN where none stands.
  std::vector<float> make_rows(int first, int64_t width) const {
    const int64_t slots = case_.room(), length = first + case_.tokens;
    const size_t count = static_cast<size_t>(case_.cached_heads * slots * width);
    std::vector<float> rows = random_floats(count, case_.dtype);
    for (int64_t row = 0; row < case_.cached_heads * slots; ++row)
      if (row % slots >= length) std::fill_n(rows.begin() + row * width, width, std::nanf(""));
    return rows;
  }

  // Some of each row's positions, ascending, then -1.
  void select() {
    for (const int first : case_.first_positions)
      for (int64_t token = 0; token < case_.tokens; ++token) {
        std::vector<int32_t> positions(static_cast<size_t>(first + token + 1));
        std::iota(positions.begin(), positions.end(), 0);
        std::ranges::shuffle(positions, generator());
        positions.resize(std::min(positions.size(), static_cast<size_t>(case_.selected)));
        std::ranges::sort(positions);
        positions.resize(static_cast<size_t>(case_.selected), -1);
        selected_.insert(selected_.end(), positions.begin(), positions.end());
      }
  }

  void add_expected(int64_t row, int64_t head, std::vector<double>& result) const {
    const AttentionCase& c = case_;
    const auto sequence = static_cast<size_t>(row / c.tokens);
    const int64_t position = c.first_positions[sequence] + row % c.tokens;
    int64_t cached_head = head / (c.heads / c.cached_heads);
    if (!c.first_query.empty())
      for (cached_head = 0; c.first_query[static_cast<size_t>(cached_head) + 1] <= head;)
        ++cached_head;
    std::vector<int64_t> seen;
    if (c.selected > 0) {
      for (int64_t i = 0; i < c.selected; ++i)
        if (const int32_t at = selected_[static_cast<size_t>(row * c.selected + i)]; at >= 0)
          seen.push_back(at);
    } else {
      for (int64_t p = c.window > 0 ? std::max<int64_t>(0, position - c.window + 1) : 0;
           p <= position; ++p)
        seen.push_back(p);
    }
    const double factor = scale() * (scales_.empty() ? 1.0f : scales_[static_cast<size_t>(row)]);
    const auto at = [&](const std::vector<float>& rows, int64_t width, int64_t p) {
      return rows.data() + (cached_head * c.room() + p % c.room()) * width;
    };
    const float* const q = q_.data() + (row * c.heads + head) * c.width;
    std::vector<double> scores;
    double most = sinks_.empty() ? -INFINITY : sinks_[static_cast<size_t>(head)];
    for (const int64_t p : seen) {
      const float* const key = at(keys_[sequence], c.width, p);
      double sum = 0;
      for (int64_t i = 0; i < c.width; ++i) sum += double{q[i]} * key[i];
      scores.push_back(sum * factor);
      most = std::max(most, scores.back());
    }
    double total = sinks_.empty() ? 0 : std::exp(sinks_[static_cast<size_t>(head)] - most);
    std::vector<double> mixed(static_cast<size_t>(c.value_width), 0);
    for (size_t i = 0; i < seen.size(); ++i) {
      const double weight = std::exp(scores[i] - most);
      total += weight;
      const float* const value = c.values == AttentionCase::Values::kOwn
                                     ? at(values_[sequence], c.value_width, seen[i])
                                     : at(keys_[sequence], c.width, seen[i]);
      for (size_t k = 0; k < mixed.size(); ++k) mixed[k] += weight * value[k];
    }
    for (const double sum : mixed) result.push_back(sum / total);
  }

  AttentionCase case_;
  int64_t laid_out_for_ = 0;
  std::vector<float> q_, sinks_, scales_;
  std::vector<std::vector<float>> keys_, values_;
  std::vector<int32_t> selected_;
  DeviceFloats device_q_;
  DeviceFloats out_;
  std::vector<DeviceFloats> device_keys_, device_values_;
};

}  // namespace strake::cuda
