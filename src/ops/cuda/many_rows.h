// Products with many rows on the tensor cores, from weights in fragment order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "ops/cuda/few_rows.h"
#include "ops/cuda/many_rows_plan.h"
#include "strake/ops/sum_tree.h"
#include "strake/tensor/dtype.h"

namespace strake::cuda {

struct ManyRowsActivations {
  const void* data;  // [tokens, K]
  DType type;        // kBF16, or kF16 with affine and dense float16 weights
  int64_t stride;    // elements from row to row
  int64_t tokens;
};

// What a GPU has.
struct ManyRowsDevice {
  int multiprocessors;
  bool has_wgmma;  // compute capability 9.0
};
ManyRowsDevice many_rows_device();  // the current one

int64_t many_rows_workspace_bytes(const ManyRowsDevice& device);

struct ManyRowsCall {
  const PackedWeight& w;  // [outputs, K]: its leaves are those below the call's nodes, in order
  const ManyRowsActivations& x;
  void* out;  // [nodes, tokens, outputs]
  ManyRowsDevice device;
  cudaStream_t stream;
  DType out_dtype = DType::kF32;  // floating; sums are rounded to it
  // Memory for sums that wait for others, many_rows_workspace_bytes(), zeros at first, or none:
  // then fewer tilings are possible. Calls that run one after the other may share it.
  float* workspace = nullptr;
  // Whether it has x in common with the call right before it in the stream, and with the next one:
  // one fills the multiprocessors that the other leaves.
  bool follows = false;
  bool leads = false;
};

// out = each node's sums. Their bits depend on the node, K, the order, chain_parts() and whether
// x's rows lie on 16 bytes, not on how many outputs or other nodes there are. Neither allocates
// device memory nor waits. Throws Error(kUnsupported) for types that cannot be multiplied.
void many_rows(const ManyRowsCall& call, const PartialSums& sums, LeafOrder order);

// One node of a call, `out` [tokens, outputs].
struct ManyRowsNode {
  const SumTree& tree;
  int node;
  PackedPlace begin;
  LeafOrder order;
};
// Whether x's rows lie on 16 bytes, as the kernel below needs them.
bool takes_wgmma(const ManyRowsActivations& x);
void many_rows_wgmma(const ManyRowsCall& call, const ManyRowsNode& node,
                     const ManyRowsTiling& tiling);
// For every GPU, and x's rows on any byte.
void many_rows_mma(const ManyRowsCall& call, const ManyRowsNode& node);

}  // namespace strake::cuda
