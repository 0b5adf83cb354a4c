// Norms, rotary embedding and activations.
#include <cmath>
#include <vector>

#include "ops/cpu/cpu_backend.h"
#include "ops/cpu/lanes.h"
#include "ops/cpu/weight_rows.h"

namespace strake::cpu {

Tensor CpuBackend::do_rms_norm(const Tensor& x, const Tensor& w, float eps, DType dtype) {
  const int64_t rows = x.shape()[0];
  const int64_t width = x.shape()[1];
  Tensor y = Tensor::empty(dtype, x.shape());
  std::vector<float> weight(static_cast<size_t>(width));
  widen(w, weight.data());
  const float* const in = x.data<float>().data();
  visit_floating(dtype, [&]<class T>(T) {
    T* const out = y.mutable_data<T>().data();
    pool_.for_ranges(rows, [&](int64_t begin, int64_t end) {
      for (int64_t m = begin; m < end; ++m) {
        const float* row = in + m * width;
        const float mean = dot(row, row, width) / static_cast<float>(width);
        const float factor = 1.0f / std::sqrt(mean + eps);
        for (int64_t i = 0; i < width; ++i)
          out[m * width + i] = from_float<T>(row[i] * factor * weight[static_cast<size_t>(i)]);
      }
    });
  });
  return y;
}

void CpuBackend::do_rope(Tensor& x, const RopeTable& table, int64_t first_position) {
  const int64_t heads = x.shape()[1];
  const int64_t width = x.shape()[2];
  const int64_t half = table.dims / 2;
  const bool adjacent = table.pairs == RopeTable::Pairs::kAdjacent;
  const int64_t step = adjacent ? 2 : 1;
  const int64_t partner = adjacent ? 1 : half;
  const auto frequencies = table.frequencies.data<float>();
  visit_floating(x.dtype(), [&]<class T>(T) {
    T* const data = x.mutable_data<T>().data();
    pool_.for_ranges(x.shape()[0], [&](int64_t begin, int64_t end) {
      for (int64_t m = begin; m < end; ++m) {
        for (int64_t i = 0; i < half; ++i) {
          const float angle =
              static_cast<float>(first_position + m) * frequencies[static_cast<size_t>(i)];
          const float cosine = std::cos(angle) * table.magnitude;
          const float sine = std::sin(angle) * table.magnitude;
          for (int64_t h = 0; h < heads; ++h) {
            T* const a = data + (m * heads + h) * width + i * step;
            T* const b = a + partner;
            const float u = to_float(*a);
            const float v = to_float(*b);
            *a = from_float<T>(u * cosine - v * sine);
            *b = from_float<T>(v * cosine + u * sine);
          }
        }
      }
    });
  });
}

Tensor CpuBackend::do_swiglu(const Tensor& gate, const Tensor& up) {
  Tensor y = Tensor::empty(gate.dtype(), gate.shape());
  visit_floating(gate.dtype(), [&]<class T>(T) {
    const auto g = gate.data<T>();
    const auto u = up.data<T>();
    const auto out = y.mutable_data<T>();
    pool_.for_ranges(y.elements(), [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        const float x = to_float(g[i]);
        out[i] = from_float<T>(x / (1.0f + std::exp(-x)) * to_float(u[i]));
      }
    });
  });
  return y;
}

}  // namespace strake::cpu
