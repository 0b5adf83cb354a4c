// Norms, rotary embedding and activations.
#include <cmath>
#include <vector>

#include "ops/backends.h"
#include "ops/cpu/cpu_backend.h"
#include "ops/cpu/lanes.h"
#include "ops/cpu/weight_rows.h"

namespace strake::cpu {

Tensor CpuBackend::do_rms_norm(const Tensor& x, const Tensor& w, float eps) {
  const int64_t rows = x.shape()[0];
  const int64_t width = x.shape()[1];
  Tensor y = Tensor::empty(DType::kBF16, x.shape());
  std::vector<float> weight(static_cast<size_t>(width));
  widen(w, weight.data());
  const float* const in = x.data<float>().data();
  Bf16* const out = y.mutable_data<Bf16>().data();
  pool_.for_ranges(rows, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      const float* row = in + m * width;
      const float mean = dot(row, row, width) / static_cast<float>(width);
      const float factor = 1.0f / std::sqrt(mean + eps);
      for (int64_t i = 0; i < width; ++i)
        out[m * width + i] = to_bf16(row[i] * factor * weight[static_cast<size_t>(i)]);
    }
  });
  return y;
}

void CpuBackend::do_rope(Tensor& x, const RopeTable& table, int64_t first_position) {
  const int64_t rows = x.shape()[0];
  const int64_t heads = x.shape()[1];
  const int64_t width = x.shape()[2];
  const int64_t half = table.dims / 2;
  const bool adjacent = table.pairs == RopeTable::Pairs::kAdjacent;
  const int64_t step = adjacent ? 2 : 1;
  const int64_t partner = adjacent ? 1 : half;
  const auto frequencies = table.frequencies.data<float>();
  Bf16* const data = x.mutable_data<Bf16>().data();
  pool_.for_ranges(rows, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      for (int64_t i = 0; i < half; ++i) {
        const float angle =
            static_cast<float>(first_position + m) * frequencies[static_cast<size_t>(i)];
        const float cosine = std::cos(angle) * table.magnitude;
        const float sine = std::sin(angle) * table.magnitude;
        for (int64_t h = 0; h < heads; ++h) {
          Bf16* const a = data + (m * heads + h) * width + i * step;
          Bf16* const b = a + partner;
          const float u = to_float(*a);
          const float v = to_float(*b);
          *a = to_bf16(u * cosine - v * sine);
          *b = to_bf16(v * cosine + u * sine);
        }
      }
    }
  });
}

Tensor CpuBackend::do_swiglu(const Tensor& gate, const Tensor& up) {
  Tensor y = Tensor::empty(DType::kBF16, gate.shape());
  const auto g = gate.data<Bf16>();
  const auto u = up.data<Bf16>();
  const auto out = y.mutable_data<Bf16>();
  pool_.for_ranges(y.elements(), [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      const float x = to_float(g[i]);
      out[i] = to_bf16(x / (1.0f + std::exp(-x)) * to_float(u[i]));
    }
  });
  return y;
}

}  // namespace strake::cpu

namespace strake {

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options) {
  return std::make_unique<cpu::CpuBackend>(options);
}

}  // namespace strake
