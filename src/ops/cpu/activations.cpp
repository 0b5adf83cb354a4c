#include "ops/cpu/activations.h"

#include "ops/cpu/lanes.h"
#include "ops/cpu/weight_rows.h"

namespace strake::cpu {
namespace {

// x [in], `rows` elements apart in `to`.
void place_floats(const Tensor& x, int64_t row, int rows, float* to) {
  const int64_t in = x.shape()[1];
  visit_floating(x.dtype(), [&]<class T>(T) {
    const T* const from = x.data<T>().data() + row * in;
    for (int64_t i = 0; i < in; ++i) to[i * rows] = to_float(from[i]);
  });
}

void place_pairs(const Tensor& x, int64_t row, int rows, uint32_t* to) {
  const int64_t pairs = x.shape()[1] / 2;
  const auto* const from =
      reinterpret_cast<const uint32_t*>(x.data<Bf16>().data() + row * x.shape()[1]);
  for (int64_t i = 0; i < pairs; ++i) to[i * rows] = from[i];
}

// Sums of bfloat16 over groups, `rows` apart in `to`; lanes as in dot().
void sum_groups(const Bf16* x, int64_t groups, int64_t group_size, int rows, float* to) {
  for (int64_t group = 0; group < groups; ++group, x += group_size) {
    Lanes sum{};
    for (int64_t i = 0; i < group_size; i += kLanes) {
      float values[kLanes];
      for (int64_t lane = 0; lane < kLanes; ++lane) values[lane] = to_float(x[i + lane]);
      Lanes lanes;
      load(values, lanes);
      sum += lanes;
    }
    to[group * rows] = strake::cpu::sum(sum);
  }
}

}  // namespace

Activations::Activations(const Tensor& x, std::span<const RowTarget> rows,
                         const ProductKernels& kernels, const BlockLayout& layout) {
  const auto count = static_cast<int64_t>(rows.size());
  const int64_t most = count <= kernels.one_tile ? kernels.one_tile : kernels.most_rows;
  const int64_t tiles = (count + most - 1) / most;
  const bool pairs = kernels.activations == DType::kBF16;
  const bool summed = pairs && has_biases(layout.scaling);
  const int64_t groups = layout.groups();
  x_.resize(static_cast<size_t>(count * layout.in * (pairs ? 2 : 4)));
  if (summed) sums_.resize(static_cast<size_t>(count * groups));
  for (const RowTarget& row : rows) out_.push_back(row.out);
  int64_t first = 0;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t end = count * (i + 1) / tiles;
    const auto size = static_cast<int>(end - first);
    std::byte* const to = x_.data() + first * layout.in * (pairs ? 2 : 4);
    float* const sums = sums_.data() + (summed ? first * groups : 0);
    for (int m = 0; m < size; ++m) {
      const int64_t row = rows[static_cast<size_t>(first + m)].row;
      if (pairs)
        place_pairs(x, row, size, reinterpret_cast<uint32_t*>(to) + m);
      else
        place_floats(x, row, size, reinterpret_cast<float*>(to) + m);
      if (summed)
        sum_groups(x.data<Bf16>().data() + row * layout.in, groups, layout.group_size, size,
                   sums + m);
    }
    tiles_.push_back({size, to, sums, out_.data() + first});
    first = end;
  }
}

}  // namespace strake::cpu
