#include <algorithm>

#include "ops/cuda/elements.h"
#include "ops/cuda/elementwise.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/ptx.h"

namespace strake::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostRows = 65535;  // of a grid

// One thread an element; y strides over the rows.
dim3 grid_of(Extent2 extent) {
  return {static_cast<unsigned>((extent.columns + kThreads - 1) / kThreads),
          static_cast<unsigned>(std::min(extent.rows, kMostRows))};
}

// body(row, column) for each element.
template <class Body>
__device__ void for_elements(Extent2 extent, const Body& body) {
  begin_after_predecessor();
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= extent.columns) return;
  for (int64_t row = blockIdx.y; row < extent.rows; row += gridDim.y) body(row, column);
}

// factor / (1 + exp(-x)), from exp(-|x|), which does not overflow.
__device__ float times_sigmoid(float factor, float x) {
  const float e = expf(x < 0.0f ? x : -x);
  return (x < 0.0f ? factor * e : factor) / (1.0f + e);
}

template <Activation A>
__device__ float activated(float gate, float up) {
  if constexpr (A == Activation::kSilu) return times_sigmoid(gate, gate) * up;
  if constexpr (A == Activation::kGeluTanh) {
    // (1 + tanh(y)) / 2 = sigmoid(2 y)
    constexpr float kTwice = 1.5957691216057308f;  // 2 sqrt(2 / pi)
    const float cube = gate * gate * gate;
    return times_sigmoid(gate, (gate + cube * 0.044715f) * kTwice) * up;
  }
  if constexpr (A == Activation::kClampedSwiglu) {
    constexpr float kLimit = 7.0f, kAlpha = 1.702f;
    const float low = gate > kLimit ? kLimit : gate;
    const float below = up > kLimit ? kLimit : up;
    const float within = below < -kLimit ? -kLimit : below;
    return times_sigmoid(low, low * kAlpha) * (within + 1.0f);
  }
}

template <class In, class Out, Activation A>
__global__ void gated_kernel(RowsIn gate, RowsIn up, RowsOut out, Extent2 extent) {
  for_elements(extent, [&](int64_t row, int64_t column) {
    const In g = static_cast<const In*>(gate.data)[row * gate.stride + column];
    const In u = static_cast<const In*>(up.data)[row * up.stride + column];
    static_cast<Out*>(out.data)[row * out.stride + column] =
        from_float<Out>(activated<A>(rounded<Out>(to_float(g)), rounded<Out>(to_float(u))));
  });
}

// Eight elements a thread, of rows that have whole vectors of them.
constexpr int kVector = 8;

template <class T, Activation A>
__global__ void gated_vectors_kernel(RowsIn gate, RowsIn up, RowsOut out, Extent2 vectors) {
  for_elements(vectors, [&](int64_t row, int64_t column) {
    alignas(16) T g[kVector], u[kVector], result[kVector];
    static_assert(sizeof g == sizeof(uint4));
    const auto load = [&](const RowsIn& from, T* to) {
      *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(
          static_cast<const T*>(from.data) + row * from.stride + kVector * column);
    };
    load(gate, g);
    load(up, u);
#pragma unroll
    for (int i = 0; i < kVector; ++i)
      result[i] = from_float<T>(activated<A>(to_float(g[i]), to_float(u[i])));
    *reinterpret_cast<uint4*>(static_cast<T*>(out.data) + row * out.stride + kVector * column) =
        *reinterpret_cast<const uint4*>(result);
  });
}

bool has_whole_vectors(const void* data, int64_t stride) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && stride % kVector == 0;
}
// Few elements are better divided over more threads.
bool takes_vectors(const RowsIn& gate, const RowsIn& up, const RowsOut& out, Extent2 extent) {
  constexpr int64_t kMany = int64_t{1} << 20;
  return gate.dtype == out.dtype && size_of(out.dtype) == 2 && extent.columns % kVector == 0 &&
         extent.rows * extent.columns >= kMany && has_whole_vectors(gate.data, gate.stride) &&
         has_whole_vectors(up.data, up.stride) && has_whole_vectors(out.data, out.stride);
}

template <class In, class Out>
__global__ void cast_kernel(RowsIn x, RowsOut out, Extent2 extent) {
  for_elements(extent, [&](int64_t row, int64_t column) {
    static_cast<Out*>(out.data)[row * out.stride + column] =
        from_float<Out>(to_float(static_cast<const In*>(x.data)[row * x.stride + column]));
  });
}

__global__ void add_kernel(RowsIn x, RowsIn y, RowsOut out, Extent2 extent) {
  for_elements(extent, [&](int64_t row, int64_t column) {
    static_cast<float*>(out.data)[row * out.stride + column] =
        static_cast<const float*>(x.data)[row * x.stride + column] +
        static_cast<const float*>(y.data)[row * y.stride + column];
  });
}

__global__ void scale_kernel(RowsIn x, float factor, RowsOut out, Extent2 extent) {
  for_elements(extent, [&](int64_t row, int64_t column) {
    static_cast<float*>(out.data)[row * out.stride + column] =
        static_cast<const float*>(x.data)[row * x.stride + column] * factor;
  });
}

template <class Unit>
__global__ void copy_kernel(RowCopy copy) {
  const Extent2 extent{copy.rows, copy.row_bytes / static_cast<int64_t>(sizeof(Unit))};
  for_elements(extent, [&](int64_t row, int64_t column) {
    const auto* const from = static_cast<const unsigned char*>(copy.from) + row * copy.from_stride;
    auto* const to = static_cast<unsigned char*>(copy.to) + row * copy.to_stride;
    reinterpret_cast<Unit*>(to)[column] = reinterpret_cast<const Unit*>(from)[column];
  });
}

template <class Unit>
bool copy_in(const RowCopy& copy, cudaStream_t stream) {
  const uint64_t bits =
      reinterpret_cast<uintptr_t>(copy.from) | reinterpret_cast<uintptr_t>(copy.to) |
      static_cast<uint64_t>(copy.from_stride) | static_cast<uint64_t>(copy.to_stride) |
      static_cast<uint64_t>(copy.row_bytes);
  if (bits % sizeof(Unit) != 0) return false;
  const Extent2 extent{copy.rows, copy.row_bytes / static_cast<int64_t>(sizeof(Unit))};
  launch({"copy_rows", grid_of(extent), kThreads, 0, stream, Order::kOverlapping},
         copy_kernel<Unit>, copy);
  return true;
}

bool is_empty(Extent2 extent) { return extent.rows == 0 || extent.columns == 0; }

}  // namespace

void gated(const RowsIn& gate, const RowsIn& up, const RowsOut& out, Extent2 extent,
           Activation activation, cudaStream_t stream) {
  if (is_empty(extent)) return;
  const bool vectors = takes_vectors(gate, up, out, extent);
  const Extent2 items{extent.rows, vectors ? extent.columns / kVector : extent.columns};
  const Launch at{"gated", grid_of(items), kThreads, 0, stream, Order::kOverlapping};
  visit_floating(gate.dtype, [&]<class In>(In) {
    visit_floating(out.dtype, [&]<class Out>(Out) {
      const auto start = [&]<Activation A>() {
        if constexpr (std::is_same_v<In, Out> && sizeof(Out) == 2)
          if (vectors) return launch(at, gated_vectors_kernel<Out, A>, gate, up, out, items);
        launch(at, gated_kernel<In, Out, A>, gate, up, out, items);
      };
      switch (activation) {
        case Activation::kSilu:
          return start.template operator()<Activation::kSilu>();
        case Activation::kGeluTanh:
          return start.template operator()<Activation::kGeluTanh>();
        case Activation::kClampedSwiglu:
          return start.template operator()<Activation::kClampedSwiglu>();
      }
    });
  });
}

void cast(const RowsIn& x, const RowsOut& out, Extent2 extent, cudaStream_t stream) {
  if (is_empty(extent)) return;
  visit_floating(x.dtype, [&]<class In>(In) {
    visit_floating(out.dtype, [&]<class Out>(Out) {
      launch({"cast", grid_of(extent), kThreads, 0, stream, Order::kOverlapping},
             cast_kernel<In, Out>, x, out, extent);
    });
  });
}

void add(const RowsIn& x, const RowsIn& y, const RowsOut& out, Extent2 extent,
         cudaStream_t stream) {
  if (is_empty(extent)) return;
  launch({"add", grid_of(extent), kThreads, 0, stream, Order::kOverlapping}, add_kernel, x, y, out,
         extent);
}

void scale(const RowsIn& x, float factor, const RowsOut& out, Extent2 extent, cudaStream_t stream) {
  if (is_empty(extent)) return;
  launch({"scale", grid_of(extent), kThreads, 0, stream, Order::kOverlapping}, scale_kernel, x,
         factor, out, extent);
}

void copy_rows(const RowCopy& copy, cudaStream_t stream) {
  if (copy.rows == 0 || copy.row_bytes == 0) return;
  if (copy_in<uint4>(copy, stream) || copy_in<uint64_t>(copy, stream) ||
      copy_in<uint32_t>(copy, stream) || copy_in<uint16_t>(copy, stream))
    return;
  copy_in<uint8_t>(copy, stream);
}

}  // namespace strake::cuda
