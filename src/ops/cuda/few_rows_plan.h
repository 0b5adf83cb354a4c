// How a product with few rows is divided over blocks. Host only.
#pragma once

#include <array>

#include "ops/cuda/few_rows_parameters.h"

namespace strake::cuda {

// Counters in a workspace, of which a call with slices takes one for each item.
inline constexpr int64_t kMaxArrivals = int64_t{1} << 18;

// Stages of a warp's ring, two at least, with about so many bytes of codes each.
struct FewRowsRing {
  int stages = 0;  // at most; 0: no ring
  int chunk_bytes = 0;
};
// By preference. Large chunks cost fewer instructions; small ones leave room for activations.
using FewRowsRings = std::array<FewRowsRing, 2>;
inline constexpr FewRowsRings kFewRowsRings = {{{2, 4096}, {4, 2048}}};

struct FewRowsSize {
  int octets;  // of columns that the kernel has
  int warps;   // of a block
  FewRowsRings rings;
  int multiprocessors;
  int shared_bytes;  // that a block may have
};

struct FewRowsGrid {
  int blocks = 0;  // 0: it cannot be done
  int shared_bytes = 0;
};

// Completes `p`: all from `ring` on, but for memory. What stands before it is given.
FewRowsGrid plan_few_rows(FewRowsParameters& p, PackedFormat format, const FewRowsSize& size);

}  // namespace strake::cuda
