#include "ops/cpu/activations.h"

#include <algorithm>
#include <cstring>

#include "ops/cpu/weight_rows.h"

namespace strake::cpu {
namespace {

// Inputs that are placed at once: 12 rows of them stay in a first cache. A multiple of every group.
constexpr int64_t kPart = 512;
constexpr int64_t kFactors = 32;  // ProductKernels::input_factors
constexpr int64_t kAlignment = 64;
// Elements from which on threads share the work.
constexpr int64_t kWorthSharing = 1 << 15;

// Inputs [begin, end) of a row of x.
void widen_part(const Tensor& x, int64_t row, int64_t begin, int64_t end, float* out) {
  visit_floating(x.dtype(), [&]<class T>(T) {
    widen_row(x.data<T>().data() + row * x.shape()[1] + begin, end - begin, out);
  });
}

// `rows` elements apart in `to`.
void place_floats(const float* from, int64_t count, const float* factors, int rows, float* to) {
  if (factors == nullptr)
    for (int64_t i = 0; i < count; ++i) to[i * rows] = from[i];
  else
    for (int64_t first = 0; first < count; first += kFactors)
      for (int64_t i = 0; i < std::min(kFactors, count - first); ++i)
        to[(first + i) * rows] = from[first + i] * factors[i];
}

// `rows` runs apart in `to`.
template <int64_t Run>
void place_runs(const Bf16* from, int64_t count, int rows, Bf16* to) {
  int64_t i = 0;
  for (; i + Run <= count; i += Run) std::memcpy(to + i * rows, from + i, Run * sizeof(Bf16));
  std::copy(from + i, from + count, to + i * rows);
}

}  // namespace

void Activations::assign(ThreadPool& pool, const Tensor& x, std::span<const RowTarget> rows,
                         const ProductKernels& kernels, const BlockLayout& layout) {
  const auto count = static_cast<int64_t>(rows.size());
  const int64_t tiles = (count + kernels.most_rows - 1) / kernels.most_rows;
  const bool summed = kernels.wants_sums(layout);
  const float* const factors = kernels.input_factors(layout);
  const int64_t run = kernels.run;
  const int64_t row_bytes = (layout.in + run - 1) / run * run * size_of(kernels.activations);
  const int64_t groups = layout.groups();
  x_.resize(
      static_cast<size_t>(count * row_bytes + kInputsBeyond * kernels.most_rows * 4 + kAlignment));
  const auto address = reinterpret_cast<uintptr_t>(x_.data());
  std::byte* const tiles_x = x_.data() + (kAlignment - address % kAlignment) % kAlignment;
  sums_.resize(static_cast<size_t>(summed ? count * groups + kernels.most_rows : 0));
  out_.clear();
  tiles_.clear();
  for (const RowTarget& row : rows) out_.push_back(row.out);
  const auto first_row = [&](int64_t tile) { return count * tile / tiles; };
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t first = first_row(i);
    tiles_.push_back({static_cast<int>(first_row(i + 1) - first), tiles_x + first * row_bytes,
                      sums_.data() + (summed ? first * groups : 0), out_.data() + first});
  }

  const int64_t parts = (layout.in + kPart - 1) / kPart;
  const auto place = [&](int64_t item) {
    const int64_t first = first_row(item / parts);
    const int size = tiles_[static_cast<size_t>(item / parts)].rows;
    const int64_t begin = item % parts * kPart;
    const int64_t end = std::min(begin + kPart, layout.in);
    std::byte* const to = tiles_x + first * row_bytes;
    const auto place_sums = [&](int m, const auto* from) {
      if (!summed) return;
      float* const sums = sums_.data() + first * groups + m;
      for (int64_t i = begin; i < end; i += layout.group_size)
        sums[i / layout.group_size * size] = kernels.sum_group(from + i - begin, layout.group_size);
    };
    for (int m = 0; m < size; ++m) {
      const int64_t row = rows[static_cast<size_t>(first + m)].row;
      if (kernels.activations == DType::kBF16) {
        const Bf16* const from = x.data<Bf16>().data() + row * layout.in + begin;
        Bf16* const runs = reinterpret_cast<Bf16*>(to) + begin * size + m * run;
        if (run == 2)
          place_runs<2>(from, end - begin, size, runs);
        else
          place_runs<32>(from, end - begin, size, runs);
        place_sums(m, from);
        continue;
      }
      float part[kPart];
      widen_part(x, row, begin, end, part);
      place_floats(part, end - begin, factors, size,
                   reinterpret_cast<float*>(to) + begin * size + m);
      place_sums(m, part);
    }
  };
  const auto place_items = [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) place(item);
  };
  if (count * layout.in < kWorthSharing)
    place_items(0, tiles * parts);
  else
    pool.for_ranges(tiles * parts, place_items);
}

}  // namespace strake::cpu
