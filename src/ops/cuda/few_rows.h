// Products with few rows of activations, at the speed of memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <span>

#include "ops/cuda/few_rows_parameters.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/weight_layout.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

// A matrix, or a stack of them one after the other, in fragment order in device memory.
struct PackedWeight {
  PackedShape shape;
  const void* codes;
  const void* scales;
  DType dtype;  // of dense elements, or of affine scales
  float tensor_scale = 1.0f;
};

// A matrix more that the same activations multiply, or a stack of as many, and where its results
// go.
struct JoinedProduct {
  PackedWeight weight;
  void* out;  // [nodes, x_rows, N], or of experts [nodes, rows, N]
  DType out_dtype = DType::kF32;
};

// y[m, n] = sum over k of x[m, k] * w[n, k], as sums of the nodes that `steps` name.
struct FewRowsCall {
  PackedWeight weight;
  const void* x;  // [x_rows, x_stride], bfloat16 or float16; 16-byte aligned rows are faster
  DType x_dtype;
  int64_t x_stride;  // elements
  int x_rows;        // up to 16, or up to ExpertRows::kMost with experts
  LeafSteps steps;
  // Without: out [nodes, x_rows, N]. Rows apart: out [nodes, rows, N]; those left out are not
  // written. A mixture: out [groups, nodes, tokens, N].
  ExpertRows experts = {};
  void* out;
  DType out_dtype = DType::kF32;  // floating; sums are rounded to it
  // But for a mixture: up to kMostJoined - 1 whose weights can_join() this one.
  std::span<const JoinedProduct> joined = {};
};

// Whether one kernel can multiply both.
bool can_join(const PackedWeight& a, const PackedWeight& b);

struct FewRowsDevice {
  int multiprocessors;
  int shared_bytes;  // that a block may have
};
FewRowsDevice few_rows_device();  // the current one

// What a call needs of memory: zero once, left zero. Calls that run one after the other may share.
struct FewRowsWorkspace {
  void* memory = nullptr;
  int64_t bytes = 0;
};
int64_t few_rows_workspace_bytes(const FewRowsCall& call, const FewRowsDevice& device);

// Whether it can be done: experts' activations may be too many for shared memory, and float16
// weights multiply float16 alone.
bool few_rows_can(const FewRowsCall& call, const FewRowsDevice& device);

// Bits of the results depend on `steps` and the weight's leaves alone. Throws Error(kInternal) for
// what cannot be done, and where the workspace is too small.
void few_rows(const FewRowsCall& call, const FewRowsDevice& device,
              const FewRowsWorkspace& workspace, Order order, cudaStream_t stream);

}  // namespace strake::cuda
