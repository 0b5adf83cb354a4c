// Matrices of a stack turned over.
#include <algorithm>

#include "ops/cpu/cpu_backend.h"
#include "ops/cpu/packed_weight.h"
#include "ops/cpu/product.h"
#include "ops/cpu/weight_rows.h"

namespace strake::cpu {
namespace {

// Products of a code and a scale are short; sums with a bias, and a factor of the whole tensor, are
// not.
DType exact_dtype(const BlockLayout& layout) {
  if (layout.scaling == Scaling::kNone) return layout.dtype;
  return has_biases(layout.scaling) || layout.tensor_scale != 1 ? DType::kF32 : DType::kBF16;
}

}  // namespace

Tensor CpuBackend::do_transpose(const Weight& w, int64_t first, int64_t count) {
  const Blocks blocks(w, arrangement_of(path_));
  const BlockLayout& layout = blocks.layout();
  const int64_t in = layout.in, outputs = blocks.outputs(), per_matrix = blocks.per_matrix();
  Tensor result = Tensor::empty(exact_dtype(layout), {count, in, outputs});
  if (result.elements() == 0) return result;
  const size_t values = static_cast<size_t>(kBlockRows * in) * sizeof(float);
  visit_floating(result.dtype(), [&]<class T>(T) {
    T* const turned = result.mutable_data<T>().data();
    scratch_.reserve(values + blocks.room_bytes() + kReadBeyond);
    pool_.for_ranges(count * per_matrix, [&](int64_t begin, int64_t end, int range) {
      std::byte* const room = scratch_[range];
      float* const rows = reinterpret_cast<float*>(room);  // [16, in]
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = i % per_matrix * kBlockRows;
        const int64_t some = std::min<int64_t>(kBlockRows, outputs - row);
        const std::byte* const block =
            blocks.get(first + i / per_matrix, i % per_matrix, 1, room + values);
        for (int64_t r = 0; r < some; ++r)
          unpack_row(path_, layout, block, static_cast<int>(r), rows + r * in);
        T* const out = turned + i / per_matrix * in * outputs + row;
        for (int64_t k = 0; k < in; ++k)
          for (int64_t r = 0; r < some; ++r) out[k * outputs + r] = from_float<T>(rows[r * in + k]);
      }
    });
  });
  return result;
}

}  // namespace strake::cpu
