// How a product with few rows is divided over blocks. Host only.
#pragma once

#include "ops/cuda/few_rows_parameters.h"

namespace strake::cuda {

// Counters in a workspace, of which a call with slices takes one for what a block takes at once.
inline constexpr int64_t kMaxArrivals = int64_t{1} << 18;

struct FewRowsSize {
  int octets;         // of columns that the kernel has
  int warps;          // of a block
  int stages;         // of rings, at most
  int barrier_bytes;  // of shared memory, before rings
  int stage_bytes;    // of a stage of all warps
  int multiprocessors;
  int shared_bytes;  // that a block may have
};

struct FewRowsGrid {
  int blocks = 0;  // 0: it cannot be done
  int shared_bytes = 0;
};

// Completes `p`: all from `slices` on, but for memory. What stands before it is given.
FewRowsGrid plan_few_rows(FewRowsParameters& p, PackedFormat format, const FewRowsSize& size);

}  // namespace strake::cuda
