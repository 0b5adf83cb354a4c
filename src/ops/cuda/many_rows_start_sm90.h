// Starts the kernel of many_rows_kernel_sm90.h.
#pragma once

#include <algorithm>

#include "ops/cuda/launch.h"
#include "ops/cuda/many_rows_kernel_sm90.h"
#include "ops/cuda/many_rows_start.h"

namespace strake::cuda {

template <class Fragment, int kTokens>
void start_tokens(const ManyRowsStart& start) {
  const ManyRowsParameters& p = start.parameters;
  const auto kernel = many_rows_kernel<Fragment, kTokens>;
  const int shared = ManyRowsShape<Fragment, kTokens>::shared_bytes(p.levels);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
        "product with many rows");
  const int cluster = p.cluster_blocks();
  // Blocks with pieces make one tile; others take tile after tile.
  int groups = p.tiles();
  if (p.pieces == 1)
    groups = std::min(groups, std::max(1, start.device.multiprocessors *
                                              ManyRowsRegisters<kTokens>::kBlocks / cluster));
  cudaLaunchAttribute attributes[2]{};
  unsigned count = 0;
  if (cluster > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count++].val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
  }
  if (p.follows) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = static_cast<unsigned>(groups * p.tile_blocks());
  config.blockDim = kManyRowsThreads;
  config.dynamicSmemBytes = static_cast<size_t>(shared);
  config.stream = start.stream;
  config.attrs = attributes;
  config.numAttrs = count;
  check(cudaLaunchKernelEx(&config, kernel, p, start.weights), "product with many rows");
}

template <class Fragment>
void start_wgmma(const ManyRowsStart& start) {
  switch (start.tokens_of_tile) {
    case 32:
      return start_tokens<Fragment, 32>(start);
    case 64:
      return start_tokens<Fragment, 64>(start);
    case 128:
      return start_tokens<Fragment, 128>(start);
    default:
      return start_tokens<Fragment, 256>(start);
  }
}

}  // namespace strake::cuda
