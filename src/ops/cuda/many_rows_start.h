// From a call to the kernel of its format: what many_rows.cu and the kernels' sources share.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "ops/cuda/many_rows.h"
#include "ops/cuda/many_rows_parameters.h"
#include "ops/cuda/weight_fragments.h"

namespace strake::cuda {

// x for a kernel that copies no boxes.
struct PlainActivations {
  const uint16_t* data;
  int64_t stride;
  int64_t columns;
};

struct ManyRowsStart {
  const ManyRowsParameters& parameters;
  const PackedPointers& weights;
  PlainActivations plain;
  int tokens_of_tile;
  ManyRowsDevice device;
  cudaStream_t stream;
};

template <class Fragment>
void start_wgmma(const ManyRowsStart& start);
template <class Fragment>
void start_mma(const ManyRowsStart& start);

using Bf16Dense = WeightFragment<Coding::kDense, __nv_bfloat16, AffinePath::kFloat>;
using F16Dense = WeightFragment<Coding::kDense, __half, AffinePath::kFloat>;
using E2M1Fragment = WeightFragment<Coding::kE2M1, __nv_bfloat16, AffinePath::kFloat>;
using E4M3Fragment = WeightFragment<Coding::kE4M3, __nv_bfloat16, AffinePath::kFloat>;
// Bfloat16 x: scales in bfloat16 as well, or not; float16 x.
template <Coding kCode>
using NativeFragment = WeightFragment<kCode, __nv_bfloat16, AffinePath::kNative>;
template <Coding kCode>
using FloatFragment = WeightFragment<kCode, __nv_bfloat16, AffinePath::kFloat>;
template <Coding kCode>
using F16Fragment = WeightFragment<kCode, __half, AffinePath::kFloat>;

}  // namespace strake::cuda
