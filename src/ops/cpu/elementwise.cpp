// Norms, rotary embedding and activations.
#include <cmath>
#include <numeric>

#include "ops/cpu/cpu_backend.h"
#include "ops/cpu/lane_kernels.h"
#include "ops/cpu/lanes.h"
#include "ops/cpu/now.h"

namespace strake::cpu {
namespace {

size_t float_bytes(int64_t count) { return static_cast<size_t>(count) * sizeof(float); }

float* as_floats(std::byte* bytes) { return reinterpret_cast<float*>(bytes); }

// Rows [M, width], each by itself, and what their norm multiplies and adds.
struct NormedRows {
  const Tensor& x;  // float32
  std::span<const Tensor* const> parameters;
  DType dtype;  // of the result
};

// norm(row, parameters in float32 one after the other, where its result goes)
template <class Norm>
Tensor norm_rows(ThreadPool& pool, Scratch& scratch, const LaneKernels& kernels,
                 const NormedRows& rows, const Norm& norm) {
  const int64_t width = rows.x.shape()[1];
  Tensor y = Tensor::empty(rows.dtype, rows.x.shape());
  const float* const in = rows.x.data<float>().data();
  std::byte* const out = y.mutable_bytes().data();
  scratch.reserve(float_bytes(std::ssize(rows.parameters) * width));
  pool.for_ranges(rows.x.shape()[0], [&](int64_t begin, int64_t end, int range) {
    float* const parameters = as_floats(scratch[range]);
    float* at = parameters;
    for (const Tensor* const each : rows.parameters) {
      kernels.of(each->dtype()).widen(each->bytes().data(), width, at);
      at += width;
    }
    for (int64_t m = begin; m < end; ++m)
      norm(in + m * width, parameters, out + m * width * size_of(rows.dtype));
  });
  return y;
}

}  // namespace

Tensor CpuBackend::do_rms_norm(const Tensor& x, const Tensor& w, float eps, DType dtype) {
  const LaneKernels& kernels = lane_kernels(path_);
  const auto kernel = kernels.of(dtype).rms_norm;
  const Tensor* const parameters[] = {&w};
  return norm_rows(pool_, scratch_, kernels, {x, parameters, dtype},
                   [&](const float* row, const float* weight, std::byte* out) {
                     kernel(row, weight, x.shape()[1], eps, out);
                   });
}

Tensor CpuBackend::do_layer_norm(const Tensor& x, const NormParameters& norm, DType dtype) {
  const int64_t width = x.shape()[1];
  const LaneKernels& kernels = lane_kernels(path_);
  const auto kernel = kernels.of(dtype).layer_norm;
  const Tensor* const parameters[] = {&norm.weight, &norm.bias};
  return norm_rows(pool_, scratch_, kernels, {x, parameters, dtype},
                   [&](const float* row, const float* weight, std::byte* out) {
                     kernel(row, {weight, weight + width, width, norm.eps}, out);
                   });
}

Tensor CpuBackend::do_sum_squares(const Tensor& x) {
  const int64_t width = x.shape()[1];
  Tensor y = Tensor::empty(DType::kF32, {x.shape()[0]});
  const float* const in = x.data<float>().data();
  float* const out = y.mutable_data<float>().data();
  pool_.for_ranges(x.shape()[0], [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) out[m] = dot(in + m * width, in + m * width, width);
  });
  return y;
}

Tensor CpuBackend::do_rms_norm_part(const Tensor& x, const Tensor& w, const RowSquares& squares,
                                    DType dtype) {
  const int64_t width = x.shape()[1];
  const int64_t parts = squares.sums.shape()[1];
  Tensor y = Tensor::empty(DType::kF32, x.shape());
  const Tensor weight = w.to(DType::kF32);
  const float* const in = x.data<float>().data();
  const float* const factors = weight.data<float>().data();
  const float* const sums = squares.sums.data<float>().data();
  float* const out = y.mutable_data<float>().data();
  pool_.for_ranges(x.shape()[0], [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      const float sum = std::accumulate(sums + m * parts, sums + (m + 1) * parts, 0.0f);
      const float factor = 1 / std::sqrt(sum / static_cast<float>(squares.width) + squares.eps);
      for (int64_t i = m * width; i < (m + 1) * width; ++i)
        out[i] = in[i] * factor * factors[i - m * width];
    }
  });
  return y.to(dtype);
}

void CpuBackend::do_rope(Tensor& x, const RopeTable& table, const Position& position) {
  const int64_t first_position = now(position);
  const int64_t heads = x.shape()[1];
  const int64_t head_bytes = x.shape()[2] * size_of(x.dtype());
  const int64_t pairs = table.dims / 2;
  const auto frequencies = table.frequencies.data<float>();
  const TypedLaneKernels& kernels = lane_kernels(path_).of(x.dtype());
  const auto turn =
      table.pairs == RopeTable::Pairs::kAdjacent ? kernels.turn_adjacent : kernels.turn_halves;
  std::byte* const data = x.mutable_bytes().data();
  scratch_.reserve(float_bytes(2 * pairs));
  pool_.for_ranges(x.shape()[0], [&](int64_t begin, int64_t end, int range) {
    float* const cosines = as_floats(scratch_[range]);
    float* const sines = cosines + pairs;
    for (int64_t m = begin; m < end; ++m) {
      for (int64_t i = 0; i < pairs; ++i) {
        const float angle =
            static_cast<float>(first_position + m) * frequencies[static_cast<size_t>(i)];
        cosines[i] = std::cos(angle) * table.magnitude;
        sines[i] = std::sin(angle) * table.magnitude;
      }
      for (int64_t h = 0; h < heads; ++h)
        turn(data + (m * heads + h) * head_bytes, pairs, cosines, sines);
    }
  });
}

Tensor CpuBackend::do_gated(const Tensor& gate, const Tensor& up, Activation activation) {
  Tensor y = Tensor::empty(gate.dtype(), gate.shape());
  const auto kernel = lane_kernels(path_).of(gate.dtype()).gated[static_cast<size_t>(activation)];
  const int64_t size = size_of(gate.dtype());
  const std::byte* const g = gate.bytes().data();
  const std::byte* const u = up.bytes().data();
  std::byte* const out = y.mutable_bytes().data();
  pool_.for_ranges(y.elements(), [&](int64_t begin, int64_t end) {
    kernel(g + begin * size, u + begin * size, end - begin, out + begin * size);
  });
  return y;
}

}  // namespace strake::cpu
